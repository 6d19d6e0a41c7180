/** Commands of the extension. */
export namespace CommandIDs {
  /** Opens `path`, or the folder selected in the file browser. */
  export const openFolder = 'dermcap:open-folder';
  /** Opens `cwd`, or the folder the file browser is in. */
  export const open = 'dermcap:open';
  /** Opens the folder that the page's address names in `?dermcap=`. */
  export const openFromUrl = 'dermcap:open-from-url';
}
