import type { PreferenceValues, Preferences } from '@dermcap/widgets';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';

/** A slider that is being moved is stored once, when it rests. */
const STORE_AFTER_MS = 500;

/** Keeps the preferences and JupyterLab's settings equal, whichever changes. */
export function keepPreferences(
  preferences: Preferences,
  registry: ISettingRegistry,
  pluginId: string,
): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  void registry
    .load(pluginId)
    .then(settings => {
      const read = () => {
        const { thumbnailSize, preprocess, autoOrient, numBeams } =
          settings.composite as unknown as PreferenceValues;
        preferences.set({ thumbnailSize, preprocess, autoOrient, numBeams });
      };
      settings.changed.connect(read);
      read();
      preferences.changed.connect((_, values) => {
        const { thumbnailSize } = values;
        if (thumbnailSize === undefined || thumbnailSize === settings.composite['thumbnailSize']) return;
        clearTimeout(timer);
        timer = setTimeout(() => void settings.set('thumbnailSize', thumbnailSize), STORE_AFTER_MS);
      });
    })
    .catch((error: unknown) => console.warn('DermCap works with its default settings:', error));
}
