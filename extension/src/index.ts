import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { atStart } from './atstart.js';
import { fromUrl } from './fromurl.js';
import { panel } from './panel.js';

const plugins: JupyterFrontEndPlugin<void>[] = [panel, fromUrl, atStart];
export default plugins;
