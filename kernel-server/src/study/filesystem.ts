/**
 * Whether a folder lies on a network file system. SQLite's write-ahead log needs shared memory, which those do
 * not offer between hosts (https://sqlite.org/wal.html, section 1).
 */
import { statfs } from 'node:fs/promises';

/** `f_type` of statfs(2), from linux/magic.h and the file systems' own sources. */
const NETWORK_TYPES = new Map<number, string>([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xfe534d42, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0x5346414f, 'AFS'],
  [0x6b414653, 'AFS'],
  [0x73757245, 'Coda'],
  [0x01021997, '9p'],
  [0x65735546, 'FUSE'],
  [0x6a656a63, 'virtiofs'],
  [0x0bd00bd0, 'Lustre'],
  [0x00c36400, 'Ceph'],
  [0x47504653, 'GPFS'],
  [0x19830326, 'BeeGFS'],
  [0x7461636f, 'OCFS2'],
  [0x01161970, 'GFS2'],
]);

/**
 * The network file system that holds a folder, by name; null for a local disk. FUSE counts: it may be either.
 * Only Linux tells; elsewhere, and where this guesses wrong, DERMCAP_STUDY_JOURNAL decides.
 */
export async function networkFileSystem(
  folder: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string | null> {
  if (env['DERMCAP_STUDY_JOURNAL'] === 'delete') return 'DERMCAP_STUDY_JOURNAL';
  if (env['DERMCAP_STUDY_JOURNAL'] === 'wal' || process.platform !== 'linux') return null;
  const { type } = await statfs(folder);
  // Some kernels hand the 32 bits out with a sign.
  return NETWORK_TYPES.get(type >>> 0) ?? null;
}
