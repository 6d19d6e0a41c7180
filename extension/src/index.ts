import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { fromUrl } from './fromurl.js';
import { panel } from './panel.js';

const plugins: JupyterFrontEndPlugin<void>[] = [panel, fromUrl];
export default plugins;
