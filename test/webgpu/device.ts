import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join, resolve } from 'node:path';

/** SwiftShader, a Vulkan device in software that comes with Chromium. */
export interface SoftwareDevice {
  /** What a process needs in its environment, from its start on, to find the device. */
  environment: Record<string, string>;
}

/** Where Debian and Ubuntu, Google and Playwright put a Chromium. */
function chromiumFolders(): string[] {
  const playwright =
    process.env['PLAYWRIGHT_BROWSERS_PATH'] ?? join(process.env['HOME'] ?? '/root', '.cache/ms-playwright');
  const downloaded = existsSync(playwright)
    ? readdirSync(playwright).flatMap(name =>
        ['chrome-linux', 'chrome-linux64'].map(sub => join(playwright, name, sub)),
      )
    : [];
  const own = process.env['DERMCAP_CHROMIUM'];
  return [
    ...(own ? [dirname(own)] : []),
    ...['/usr/lib/chromium', '/usr/lib64/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'],
    ...downloaded,
  ];
}

/** The device, or null where no Chromium with SwiftShader is installed. */
export function softwareDevice(): SoftwareDevice | null {
  for (const folder of chromiumFolders()) {
    const icd = join(folder, 'vk_swiftshader_icd.json');
    if (!existsSync(icd)) continue;
    const { ICD } = JSON.parse(readFileSync(icd, 'utf8')) as { ICD: { library_path: string } };
    if (!existsSync(resolve(folder, ICD.library_path))) continue;
    // Chromium brings the Vulkan loader along, too.
    const libraries = [folder, process.env['LD_LIBRARY_PATH']].filter(Boolean).join(delimiter);
    return { environment: { VK_ICD_FILENAMES: icd, VK_DRIVER_FILES: icd, LD_LIBRARY_PATH: libraries } };
  }
  return null;
}
