export { FolderPanel } from './browser/widget.js';
export { DermcapClient } from './client/client.js';
export { dermcapIcon } from './shared/icon.js';
export { Preferences, type PreferenceValues } from './shared/preferences.js';
