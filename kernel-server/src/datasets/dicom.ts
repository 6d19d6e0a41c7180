/**
 * Pictures in DICOM files (VL Photographic and Dermoscopic Photography images and what is built like them), read
 * by dicom-parser. A file that can tell whose skin it shows is refused unless the caller says that only its
 * pixels are wanted; nothing but pixels ever leaves this file.
 */
import { inflateRawSync } from 'node:zlib';
import dicomParser, { type DataSet, type Element } from 'dicom-parser';
import { DermcapError } from '@dermcap/models/errors';
import type { Sharp } from 'sharp';
import { MAX_PIXELS } from './image-format.js';

export interface DicomPolicy {
  /** Take the pixels and leave the headers behind, also of files that name a person. */
  strip?: boolean;
  /** Take pictures that say that words are part of the picture. */
  allowBurnedIn?: boolean;
}

/** Attributes that tell a person or lead to one: of PS3.15, table E.1-1, those with a value of that kind. */
const IDENTIFYING: Record<string, string> = {
  x00080050: 'AccessionNumber',
  x00080080: 'InstitutionName',
  x00080081: 'InstitutionAddress',
  x00080090: 'ReferringPhysicianName',
  x00080092: 'ReferringPhysicianAddress',
  x00080094: 'ReferringPhysicianTelephoneNumbers',
  x00081010: 'StationName',
  x00081048: 'PhysiciansOfRecord',
  x00081050: 'PerformingPhysicianName',
  x00081060: 'NameOfPhysiciansReadingStudy',
  x00081070: 'OperatorsName',
  x00100010: 'PatientName',
  x00100020: 'PatientID',
  x00100030: 'PatientBirthDate',
  x00100032: 'PatientBirthTime',
  x00100050: 'PatientInsurancePlanCodeSequence',
  x00101000: 'OtherPatientIDs',
  x00101001: 'OtherPatientNames',
  x00101002: 'OtherPatientIDsSequence',
  x00101005: 'PatientBirthName',
  x00101040: 'PatientAddress',
  x00101060: 'PatientMotherBirthName',
  x00101080: 'MilitaryRank',
  x00101090: 'MedicalRecordLocator',
  x00102154: 'PatientTelephoneNumbers',
  x00102155: 'PatientTelecomInformation',
  x00102297: 'ResponsiblePerson',
  x00104000: 'PatientComments',
  x00181000: 'DeviceSerialNumber',
  x00321032: 'RequestingPhysician',
  x00400006: 'ScheduledPerformingPhysicianName',
};
/** What stands for a name that was taken out. */
const NOBODY = /^(?:anon(?:ymous|ymized|ymised)?|de-?identified|removed|unknown|none|n\/?a|[\^\s0x*-]*)$/i;
/** The two that a pseudonym may stand in where the file says that identity was removed. */
const PSEUDONYMS = new Set(['x00100010', 'x00100020']);

const UNCOMPRESSED = new Set(['1.2.840.10008.1.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.1.99']);
const JPEG = new Set(['1.2.840.10008.1.2.4.50', '1.2.840.10008.1.2.4.51']);
const OTHER_SYNTAXES: Record<string, string> = {
  '1.2.840.10008.1.2.2': 'big-endian',
  '1.2.840.10008.1.2.4.57': 'JPEG lossless',
  '1.2.840.10008.1.2.4.70': 'JPEG lossless',
  '1.2.840.10008.1.2.4.80': 'JPEG-LS',
  '1.2.840.10008.1.2.4.81': 'JPEG-LS',
  '1.2.840.10008.1.2.4.90': 'JPEG 2000',
  '1.2.840.10008.1.2.4.91': 'JPEG 2000',
  '1.2.840.10008.1.2.5': 'RLE',
};
/** A deflated data set that unpacks to more is none (CWE-409). */
const MAX_INFLATED_BYTES = 1_000_000_000;

/**
 * The picture of a DICOM file, as a sharp image of 8-bit RGB or grey.
 * @param bytes the whole file
 * @param name what the file goes by in sentences
 * @throws DermcapError `dicom-identifiable`, `dicom-burned-in`, `dicom-unsupported` or `image-unreadable`
 */
export async function dicomPicture(bytes: Buffer, name: string, policy: DicomPolicy = {}): Promise<Sharp> {
  const data = parse(bytes, name);
  refuse(data, name, policy);
  const syntax = data.string('x00020010') ?? '';
  const element = data.elements['x7fe00010'];
  if (!element) throw unreadable(name, 'it has no pixels');
  const rows = data.uint16('x00280010') ?? 0;
  const columns = data.uint16('x00280011') ?? 0;
  if (rows === 0 || columns === 0 || rows * columns > MAX_PIXELS)
    throw unreadable(name, 'its size makes no sense');
  const frames = data.intString('x00280008') ?? 1;
  if (frames > 1) throw unsupported(name, `has ${frames} frames where a picture has one`);
  const bitsAllocated = data.uint16('x00280100') ?? 8;
  if (bitsAllocated !== 8)
    throw unsupported(name, `has ${bitsAllocated} bits a sample where a photograph has 8`);
  const { default: sharp } = await import('sharp');
  if (JPEG.has(syntax)) {
    const rgb = data.string('x00280004')?.trim() === 'RGB';
    return sharp(jpegFrame(data, element, name, rgb), { limitInputPixels: MAX_PIXELS, failOn: 'error' });
  }
  if (!UNCOMPRESSED.has(syntax)) {
    throw unsupported(
      name,
      `is stored as ${OTHER_SYNTAXES[syntax] ?? `transfer syntax ${syntax || 'unknown'}`}`,
    );
  }
  const { pixels, channels } = uncompressed(data, element, name, rows * columns, columns);
  return sharp(pixels, { raw: { width: columns, height: rows, channels } });
}

function parse(bytes: Buffer, name: string): DataSet {
  try {
    return dicomParser.parseDicom(bytes, { inflater: inflate });
  } catch (error) {
    const why =
      error instanceof Error ? error.message : ((error as { exception?: string }).exception ?? String(error));
    throw unreadable(
      name,
      `it is no complete DICOM file (${why.replace(/^dicomParser\.\w+:\s*/, '')})`,
      error,
    );
  }
}

/** The file's meta information stays, the data set behind it is unpacked (PS3.5, annex A.5). */
function inflate(bytes: Uint8Array, position: number): Uint8Array {
  const unpacked = inflateRawSync(bytes.subarray(position), { maxOutputLength: MAX_INFLATED_BYTES });
  return Buffer.concat([bytes.subarray(0, position), unpacked]);
}

function refuse(data: DataSet, name: string, { strip = false, allowBurnedIn = false }: DicomPolicy): void {
  const removed = data.string('x00120062')?.trim() === 'YES';
  const telling = Object.entries(IDENTIFYING).filter(([tag]) => {
    const element = data.elements[tag];
    if (!element || element.length === 0 || (removed && PSEUDONYMS.has(tag))) return false;
    return element.items !== undefined || !NOBODY.test(data.string(tag)?.trim() ?? '');
  });
  if (telling.length > 0 && !strip) {
    // Names of attributes only: what they say is what must not be repeated.
    const shown = telling.map(([, attribute]) => attribute);
    throw new DermcapError(
      'dicom-identifiable',
      `“${name}” can tell whose picture it is: it has ${shown.join(', ')}.`,
      {
        hint: 'Remove these from the file, or ask for its pixels alone; headers are then left behind.',
      },
    );
  }
  if (data.string('x00280301')?.trim() === 'YES' && !allowBurnedIn) {
    throw new DermcapError(
      'dicom-burned-in',
      `“${name}” says that words are burned into its picture, which may name a person.`,
      {
        hint: 'Look at the picture and cover the words before it is used.',
      },
    );
  }
}

function jpegFrame(data: DataSet, element: Element, name: string, rgb: boolean): Buffer {
  const { fragments } = element;
  if (!fragments || fragments.length === 0) throw unreadable(name, 'its pixels are cut short');
  try {
    // One frame: all fragments together.
    const frame = dicomParser.readEncapsulatedPixelDataFromFragments(
      data,
      element,
      0,
      fragments.length,
      fragments,
    );
    const jpeg = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    return rgb ? withAdobeMarker(jpeg) : jpeg;
  } catch (error) {
    throw unreadable(name, 'its pixels are cut short', error);
  }
}

/** Says to a decoder what the DICOM header says: that the components are red, green and blue, not Y, Cb, Cr. */
function withAdobeMarker(jpeg: Buffer): Buffer {
  if (jpeg.includes(Buffer.from('Adobe\0', 'latin1'))) return jpeg;
  const marker = Buffer.from([0xff, 0xee, 0, 14, ...Buffer.from('Adobe'), 0, 100, 0, 0, 0, 0, 0]);
  return Buffer.concat([jpeg.subarray(0, 2), marker, jpeg.subarray(2)]);
}

function uncompressed(
  data: DataSet,
  element: Element,
  name: string,
  count: number,
  columns: number,
): { pixels: Buffer; channels: 1 | 3 } {
  const source = Buffer.from(data.byteArray.buffer, data.byteArray.byteOffset, data.byteArray.byteLength);
  const bytes = source.subarray(element.dataOffset, element.dataOffset + element.length);
  const samples = data.uint16('x00280002') ?? 1;
  const photometric = data.string('x00280004')?.trim() ?? '';
  const planar = data.uint16('x00280006') === 1;
  const need = photometric === 'YBR_FULL_422' ? count * 2 : count * samples;
  if (bytes.length < need) throw unreadable(name, 'its pixels are cut short');
  switch (photometric) {
    case 'MONOCHROME2':
      return { pixels: bytes.subarray(0, count), channels: 1 };
    case 'MONOCHROME1':
      return { pixels: Buffer.from(bytes.subarray(0, count).map(value => 255 - value)), channels: 1 };
    case 'RGB':
      return { pixels: planar ? interleave(bytes, count) : bytes.subarray(0, need), channels: 3 };
    case 'YBR_FULL':
      return { pixels: toRgb(planar ? interleave(bytes, count) : bytes, count), channels: 3 };
    case 'YBR_FULL_422':
      if (columns % 2 === 1) break;
      return { pixels: toRgb(spread(bytes, count), count), channels: 3 };
    case 'PALETTE COLOR':
      return { pixels: fromPalette(data, bytes, count, name), channels: 3 };
  }
  throw unsupported(name, `has pixels of the kind “${photometric}”`);
}

/** Planes one behind the other to triples. */
function interleave(planes: Buffer, count: number): Buffer {
  const pixels = Buffer.alloc(count * 3);
  for (let at = 0; at < count; at++) {
    for (let channel = 0; channel < 3; channel++) pixels[at * 3 + channel] = planes[channel * count + at]!;
  }
  return pixels;
}

/** Y Y Cb Cr for two pixels to a triple each (PS3.3, C.7.6.3.1.2). */
function spread(bytes: Buffer, count: number): Buffer {
  const pixels = Buffer.alloc(count * 3);
  for (let at = 0; at < count; at++) {
    const pair = (at >> 1) * 4;
    pixels[at * 3] = bytes[pair + (at & 1)]!;
    pixels[at * 3 + 1] = bytes[pair + 2]!;
    pixels[at * 3 + 2] = bytes[pair + 3]!;
  }
  return pixels;
}

/** Y Cb Cr of full range to R G B (ITU-R BT.601; PS3.3, C.7.6.3.1.2). */
function toRgb(ybr: Buffer, count: number): Buffer {
  const pixels = Buffer.alloc(count * 3);
  const clamp = (value: number): number => Math.min(255, Math.max(0, Math.round(value)));
  for (let at = 0; at < count * 3; at += 3) {
    const luma = ybr[at]!;
    const blue = ybr[at + 1]! - 128;
    const red = ybr[at + 2]! - 128;
    pixels[at] = clamp(luma + 1.402 * red);
    pixels[at + 1] = clamp(luma - 0.344136 * blue - 0.714136 * red);
    pixels[at + 2] = clamp(luma + 1.772 * blue);
  }
  return pixels;
}

/** Three tables of 8- or 16-bit entries; of the latter the high byte counts (PS3.3, C.7.6.3.1.5–6). */
function fromPalette(data: DataSet, indices: Buffer, count: number, name: string): Buffer {
  const tables = ['1', '2', '3'].map(channel => {
    const entries = data.uint16(`x0028110${channel}`, 0) || 65_536;
    const first = data.uint16(`x0028110${channel}`, 1) ?? 0;
    const bits = data.uint16(`x0028110${channel}`, 2) ?? 16;
    const table = data.elements[`x0028120${channel}`];
    if (!table || table.length < (bits === 16 ? entries * 2 : entries))
      throw unreadable(name, 'its palette is cut short');
    return { entries, first, wide: bits === 16, offset: table.dataOffset };
  });
  const pixels = Buffer.alloc(count * 3);
  for (let at = 0; at < count; at++) {
    for (const [channel, { entries, first, wide, offset }] of tables.entries()) {
      const entry = Math.min(Math.max(indices[at]! - first, 0), entries - 1);
      pixels[at * 3 + channel] = data.byteArray[wide ? offset + entry * 2 + 1 : offset + entry]!;
    }
  }
  return pixels;
}

function unreadable(name: string, why: string, cause?: unknown): DermcapError {
  return new DermcapError('image-unreadable', `“${name}” cannot be read as an image: ${why}.`, {
    hint: 'The file may be damaged, cut short, or not an image.',
    ...(cause === undefined ? {} : { cause }),
  });
}

function unsupported(name: string, what: string): DermcapError {
  return new DermcapError('dicom-unsupported', `“${name}” ${what}, which is not read here.`, {
    hint: 'Convert it to an uncompressed or JPEG baseline DICOM file, or to PNG.',
  });
}
