import { LabIcon } from '@jupyterlab/ui-components';

/** Two captions beside a lesion: DermCap in launcher, tabs and menus. */
export const dermcapIcon = new LabIcon({
  name: 'dermcap:dermcap',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16">
  <g class="jp-icon3" fill="#616161">
    <path d="M4.9 3.1c1.9-.9 3.6.1 3.9 1.9.3 2-.4 3.3-1.2 4.7-.8 1.5-2.5 3.1-4.2 2.3C1.6 11.2 1.1 9.3 1.3 7.3 1.5 5.4 3.3 3.8 4.9 3.1z"/>
    <path d="M10.5 4h4v1.4h-4zM10.5 7.3h4v1.4h-4zM10.5 10.6h2.6V12h-2.6z"/>
  </g>
</svg>`,
});
