/**
 * Dermatology datasets that are known by the header of their manifest. Column names are those of the files that
 * the datasets' owners publish; matching ignores letter case, order and further columns.
 */
import type { ColumnMapping } from './source.js';

export interface Companion {
  /** Columns that tell the file; the first that both tables have is what they are joined on. */
  keys: string[];
  /** Further columns it must have, so that no other table of the folder is taken for it. */
  columns: string[];
}

export interface Preset {
  id: string;
  name: string;
  /** All of them must be there. */
  columns: string[];
  /** None of these may be there: they tell a sibling. */
  without?: string[];
  mapping: Partial<ColumnMapping>;
  /** Further tables of the dataset whose columns belong to the same images. */
  companions?: Companion[];
  /** Column of tables that give row numbers of the manifest, from 0, one table for each split. */
  splitIndexes?: string;
  /** A sentence that a person should read. */
  note?: string;
}

const ISIC_2018_CLASSES = ['MEL', 'NV', 'BCC', 'AKIEC', 'BKL', 'DF', 'VASC'];
const ISIC_2019_CLASSES = ['MEL', 'NV', 'BCC', 'AK', 'BKL', 'DF', 'VASC', 'SCC', 'UNK'];
const MILK10K_CLASSES = [
  'AKIEC',
  'BCC',
  'BEN_OTH',
  'BKL',
  'DF',
  'INF',
  'MAL_OTH',
  'MEL',
  'NV',
  'SCCKA',
  'VASC',
];

/** In the order they are tried: the more particular header first. */
export const PRESETS: readonly Preset[] = [
  {
    id: 'dermacap',
    name: 'DermaCAP',
    columns: ['img_path', 'caption', 'source', 'img_name'],
    mapping: { image: ['img_path'], captions: ['caption'], source: 'source', id: 'img_name' },
  },
  {
    id: 'skincap',
    name: 'SkinCAP',
    columns: ['skincap_file_path', 'caption_zh_polish_en'],
    mapping: {
      image: ['skincap_file_path'],
      captions: ['caption_zh_polish_en'],
      label: ['disease'],
      source: 'source',
      id: 'id',
    },
    note: 'Captions are the polished English translation; images under “not_include” are not part of SkinCAP.',
  },
  {
    id: 'skincap-xlsx',
    name: 'SkinCAP (workbook)',
    columns: ['skincap_file_path', 'caption_en'],
    mapping: {
      image: ['skincap_file_path'],
      captions: ['caption_en'],
      label: ['disease'],
      source: 'source',
      id: 'id',
    },
  },
  {
    id: 'ham10000',
    name: 'HAM10000 (Kaggle, Dataverse)',
    columns: ['lesion_id', 'image_id', 'dx', 'dx_type', 'localization'],
    mapping: { image: ['image_id'], label: ['dx'], source: 'dataset', group: 'lesion_id', id: 'image_id' },
  },
  {
    id: 'milk10k',
    name: 'MILK10k',
    columns: ['lesion_id', 'isic_id', 'image_type', 'skin_tone_class', 'site'],
    mapping: { image: ['isic_id'], label: MILK10K_CLASSES, group: 'lesion_id', id: 'isic_id' },
    companions: [
      { keys: ['lesion_id'], columns: ['AKIEC', 'SCCKA', 'BEN_OTH'] },
      { keys: ['isic_id', 'lesion_id'], columns: ['diagnosis_full'] },
    ],
    note: 'Two images a lesion, clinical and dermoscopic; the label is the lesion’s.',
  },
  {
    id: 'isic-archive',
    name: 'ISIC archive (HAM10000 and other collections)',
    columns: ['isic_id', 'attribution', 'copyright_license'],
    mapping: {
      image: ['isic_id'],
      label: ['diagnosis_3', 'diagnosis_2', 'diagnosis_1', 'diagnosis'],
      group: 'lesion_id',
      id: 'isic_id',
    },
  },
  {
    id: 'isic2020',
    name: 'ISIC 2020',
    columns: ['image_name', 'patient_id', 'benign_malignant', 'target'],
    mapping: {
      image: ['image_name'],
      label: ['diagnosis'],
      group: 'patient_id',
      id: 'image_name',
    },
  },
  {
    id: 'isic2019',
    name: 'ISIC 2019',
    columns: ['image', ...ISIC_2019_CLASSES],
    mapping: { image: ['image'], label: ISIC_2019_CLASSES, group: 'lesion_id', id: 'image' },
    companions: [{ keys: ['image'], columns: ['age_approx', 'anatom_site_general', 'sex'] }],
  },
  {
    id: 'isic2018',
    name: 'ISIC 2018, task 3',
    columns: ['image', ...ISIC_2018_CLASSES],
    without: ['SCC'],
    mapping: { image: ['image'], label: ISIC_2018_CLASSES, group: 'lesion_id', id: 'image' },
    companions: [{ keys: ['image'], columns: ['lesion_id', 'diagnosis_confirm_type'] }],
  },
  {
    id: 'fitzpatrick17k',
    name: 'Fitzpatrick17k',
    columns: ['md5hash', 'label', 'nine_partition_label', 'three_partition_label'],
    mapping: { image: ['md5hash'], label: ['label'], id: 'md5hash' },
    note: 'The manifest names web addresses: images must have been downloaded as MD5HASH.jpg.',
  },
  {
    id: 'ddi',
    name: 'DDI',
    columns: ['DDI_ID', 'DDI_file', 'skin_tone', 'malignant', 'disease'],
    mapping: { image: ['DDI_file'], label: ['disease'], id: 'DDI_ID' },
  },
  {
    id: 'ddi2',
    name: 'DDI2',
    columns: ['photo_id', 'fitzpatrick_skin_type', 'diagnosis_general'],
    mapping: { image: ['photo_id'], label: ['diagnosis_detailed', 'diagnosis_general'], id: 'photo_id' },
  },
  {
    id: 'mra-midas',
    name: 'MRA-MIDAS',
    columns: ['midas_file_name', 'midas_record_id', 'midas_path'],
    mapping: {
      image: ['midas_file_name'],
      label: ['midas_path', 'clinical_impression_1'],
      group: 'midas_record_id',
      id: 'midas_file_name',
    },
  },
  {
    id: 'pad-ufes-20',
    name: 'PAD-UFES-20',
    columns: ['patient_id', 'lesion_id', 'fitspatrick', 'diagnostic', 'img_id', 'biopsed'],
    mapping: { image: ['img_id'], label: ['diagnostic'], group: 'patient_id', id: 'img_id' },
  },
  {
    id: 'derm7pt',
    name: 'Derm7pt',
    columns: ['case_num', 'diagnosis', 'seven_point_score', 'clinic', 'derm'],
    mapping: {
      image: ['derm', 'clinic'],
      label: ['diagnosis'],
      split: 'split',
      group: 'case_num',
      id: 'case_id',
    },
    splitIndexes: 'indexes',
    note: 'A dermoscopic and a clinical image each case; splits are those of the index files.',
  },
  {
    id: 'scin',
    name: 'SCIN',
    columns: ['case_id', 'image_1_path', 'image_2_path', 'image_3_path', 'fitzpatrick_skin_type'],
    mapping: {
      image: ['image_1_path', 'image_2_path', 'image_3_path'],
      label: ['weighted_skin_condition_label'],
      group: 'case_id',
      id: 'case_id',
    },
    companions: [{ keys: ['case_id'], columns: ['weighted_skin_condition_label'] }],
    note: 'Up to three images a case; the label is the condition of highest weight.',
  },
];

/** The dataset that a header belongs to. */
export function findPreset(columns: readonly string[]): Preset | null {
  const have = new Set(columns.map(column => column.toLowerCase()));
  return (
    PRESETS.find(
      ({ columns, without = [] }) =>
        columns.every(column => have.has(column.toLowerCase())) &&
        !without.some(column => have.has(column.toLowerCase())),
    ) ?? null
  );
}

/** A preset's mapping in the letter case of a file, with what the file lacks left out. */
export function presetMapping(preset: Preset, columns: readonly string[]): ColumnMapping {
  const own = new Map(columns.map(column => [column.toLowerCase(), column]));
  const one = (name: string | null | undefined): string | null =>
    name == null ? null : (own.get(name.toLowerCase()) ?? null);
  const several = (names: readonly string[] = []): string[] => names.map(one).filter(name => name !== null);
  const { image, captions, label, split, source, group, id } = preset.mapping;
  return {
    image: several(image),
    captions: several(captions),
    label: several(label),
    split: one(split),
    source: one(source),
    group: one(group),
    id: one(id),
  };
}
