import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDataset } from './open.js';
import type { DatasetRow } from './source.js';
import { allRows, FIXTURES, folderOf } from './testFolder.js';

interface Case {
  preset: string;
  /** What the folder holds; headers are those of the published files, rows are invented. */
  files: Record<string, string>;
  images: string[];
  /** Opened instead of the folder. */
  open?: string;
  first: Partial<DatasetRow>;
  rows: number;
}

const ONE_HOT_2018 = 'image,MEL,NV,BCC,AKIEC,BKL,DF,VASC';
const ONE_HOT_2019 = 'image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK';
const MONET =
  'MONET_ulceration_crust,MONET_hair,MONET_vasculature_vessels,MONET_erythema,MONET_pigmented,' +
  'MONET_gel_water_drop_fluid_dermoscopy_liquid,MONET_skin_markings_pen_ink_purple_pen';
const SCIN_CASES =
  'case_id,source,release,year,age_group,sex_at_birth,fitzpatrick_skin_type,race_ethnicity_american_indian_or_alaska_native,' +
  'race_ethnicity_asian,race_ethnicity_black_or_african_american,race_ethnicity_hispanic_latino_or_spanish_origin,' +
  'race_ethnicity_middle_eastern_or_north_african,race_ethnicity_native_hawaiian_or_pacific_islander,race_ethnicity_white,' +
  'race_ethnicity_other_race,race_ethnicity_prefer_not_to_answer,textures_raised_or_bumpy,textures_flat,' +
  'textures_rough_or_flaky,textures_fluid_filled,body_parts_head_or_neck,body_parts_arm,body_parts_palm,' +
  'body_parts_back_of_hand,body_parts_torso_front,body_parts_torso_back,body_parts_genitalia_or_groin,body_parts_buttocks,' +
  'body_parts_leg,body_parts_foot_top_or_side,body_parts_foot_sole,body_parts_other,condition_symptoms_bothersome_appearance,' +
  'condition_symptoms_bleeding,condition_symptoms_increasing_size,condition_symptoms_darkening,condition_symptoms_itching,' +
  'condition_symptoms_burning,condition_symptoms_pain,condition_symptoms_no_relevant_experience,other_symptoms_fever,' +
  'other_symptoms_chills,other_symptoms_fatigue,other_symptoms_joint_pain,other_symptoms_mouth_sores,' +
  'other_symptoms_shortness_of_breath,other_symptoms_no_relevant_symptoms,related_category,condition_duration,' +
  'image_1_path,image_2_path,image_3_path,image_1_shot_type,image_2_shot_type,image_3_shot_type,combined_race,' +
  'race_ethnicity_two_or_more_after_mitigation';
const SCIN_LABELS =
  'case_id,dermatologist_gradable_for_skin_condition_1,dermatologist_gradable_for_skin_condition_2,' +
  'dermatologist_gradable_for_skin_condition_3,dermatologist_skin_condition_on_label_name,' +
  'dermatologist_skin_condition_confidence,weighted_skin_condition_label,' +
  'dermatologist_gradable_for_fitzpatrick_skin_type_1,dermatologist_gradable_for_fitzpatrick_skin_type_2,' +
  'dermatologist_gradable_for_fitzpatrick_skin_type_3,dermatologist_fitzpatrick_skin_type_label_1,' +
  'dermatologist_fitzpatrick_skin_type_label_2,dermatologist_fitzpatrick_skin_type_label_3,' +
  'gradable_for_monk_skin_tone_india,gradable_for_monk_skin_tone_us,monk_skin_tone_label_india,monk_skin_tone_label_us';

/** A line with values in some of a header's columns. */
function line(header: string, values: Record<string, string>): string {
  return header
    .split(',')
    .map(column => values[column] ?? '')
    .join(',');
}

const CASES: Case[] = [
  {
    preset: 'dermacap',
    files: {
      'dermacap_clean.csv':
        '\ufeffimg_path,caption,source,img_name\r\n' +
        'dermacap/images/derma_ham10000_0a1b2c3d4e5f.png,"Age (approx): 50, Diagnosis 1: Benign",ham10000,derma_ham10000_0a1b2c3d4e5f.png\r\n',
    },
    images: ['images/derma_ham10000_0a1b2c3d4e5f.png'],
    rows: 1,
    first: {
      path: 'images/derma_ham10000_0a1b2c3d4e5f.png',
      references: [{ text: 'Age (approx): 50, Diagnosis 1: Benign', column: 'caption' }],
      source: 'ham10000',
      id: 'derma_ham10000_0a1b2c3d4e5f.png',
    },
  },
  {
    preset: 'skincap',
    files: {
      'skincap_v240623.csv':
        'id,skincap_file_path,ori_file_path,disease,caption_zh,caption_zh_polish,caption_zh_polish_en,remark,source,skin_tone,' +
        'malignant,fitzpatrick_scale,fitzpatrick_centaur,nine_partition_label,three_partition_label,Vesicle,Papule,Macule\n' +
        '1,1.png,a/0001.jpg,psoriasis,红斑,红斑。,"This is a photo of psoriasis, with scale.",,fitzpatrick17k,,,2,3,inflammatory,non-neoplastic,0,1,0\n',
    },
    images: ['skincap/1.png', 'skincap/not_include/2.png'],
    rows: 1,
    first: {
      path: 'skincap/1.png',
      references: [{ text: 'This is a photo of psoriasis, with scale.', column: 'caption_zh_polish_en' }],
      label: 'psoriasis',
      source: 'fitzpatrick17k',
      id: '1',
    },
  },
  {
    preset: 'ham10000',
    files: {
      'HAM10000_metadata.csv':
        'lesion_id,image_id,dx,dx_type,age,sex,localization\nHAM_0000118,ISIC_0027419,bkl,histo,80.0,male,scalp\n',
      // Beside it lie tables of pixels: no manifest.
      'hmnist_8_8_L.csv': 'pixel0000,pixel0001,label\n169,171,2\n',
    },
    images: ['HAM10000_images_part_1/ISIC_0027419.jpg', 'ham10000_images_part_1/ISIC_0027419.jpg'],
    rows: 1,
    first: {
      path: 'HAM10000_images_part_1/ISIC_0027419.jpg',
      label: 'bkl',
      group: 'HAM_0000118',
      id: 'ISIC_0027419',
    },
  },
  {
    preset: 'isic-archive',
    files: {
      'ham10000_metadata.csv':
        'isic_id,attribution,copyright_license,age_approx,anatom_site_general,anatom_site_special,concomitant_biopsy,' +
        'diagnosis_1,diagnosis_2,diagnosis_3,diagnosis_confirm_type,image_manipulation,image_type,lesion_id,melanocytic,' +
        'pixels_x,pixels_y,sex\n' +
        'ISIC_0024306,ViDIR Group,CC-BY-NC,45.0,,,False,Benign,Benign melanocytic proliferations,Nevus,serial imaging,,dermoscopic,IL_7252831,True,600,450,male\n',
    },
    images: ['images/ISIC_0024306.jpg'],
    rows: 1,
    first: { path: 'images/ISIC_0024306.jpg', label: 'Nevus', group: 'IL_7252831', id: 'ISIC_0024306' },
  },
  {
    preset: 'isic2018',
    files: {
      'ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv': `${ONE_HOT_2018}\nISIC_0024306,0.0,1.0,0.0,0.0,0.0,0.0,0.0\n`,
      'ISIC2018_Task3_Training_LesionGroupings.csv':
        'image,lesion_id,diagnosis_confirm_type\nISIC_0024306,HAM_0000550,serial imaging showing no change\n',
    },
    images: ['ISIC2018_Task3_Training_Input/ISIC_0024306.jpg'],
    rows: 1,
    first: {
      path: 'ISIC2018_Task3_Training_Input/ISIC_0024306.jpg',
      label: 'NV',
      split: 'train',
      group: 'HAM_0000550',
      id: 'ISIC_0024306',
    },
  },
  {
    preset: 'isic2019',
    files: {
      'ISIC_2019_Training_GroundTruth.csv': `${ONE_HOT_2019}\nISIC_0000000_downsampled,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,0.0\n`,
      'ISIC_2019_Training_Metadata.csv':
        'image,age_approx,anatom_site_general,lesion_id,sex\nISIC_0000000_downsampled,55,anterior torso,BCN_0000003,female\n',
    },
    images: ['ISIC_2019_Training_Input/ISIC_2019_Training_Input/ISIC_0000000_downsampled.jpg'],
    rows: 1,
    first: {
      path: 'ISIC_2019_Training_Input/ISIC_2019_Training_Input/ISIC_0000000_downsampled.jpg',
      label: 'SCC',
      split: 'train',
      group: 'BCN_0000003',
      metadata: expect.objectContaining({ age_approx: 55, sex: 'female' }) as never,
    },
  },
  {
    preset: 'isic2020',
    files: {
      'train.csv':
        'image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target\n' +
        'ISIC_2637011,IP_7279968,male,45.0,head/neck,unknown,benign,0\n',
    },
    images: ['train/ISIC_2637011.dcm', 'jpeg/train/ISIC_2637011.jpg'],
    open: 'train.csv',
    rows: 1,
    first: { group: 'IP_7279968', label: 'unknown', split: 'train', id: 'ISIC_2637011' },
  },
  {
    preset: 'milk10k',
    files: {
      'MILK10k_Training_Metadata.csv': `lesion_id,image_type,isic_id,attribution,copyright_license,image_manipulation,age_approx,sex,skin_tone_class,site,${MONET}\nIL_0000652,clinical: close-up,ISIC_8149219,MILK study team,CC-BY-NC,,75,male,3,head_neck_face,0.1,0.2,0.3,0.4,0.5,0.6,0.7\nIL_0000652,dermoscopic,ISIC_4671410,MILK study team,CC-BY-NC,,75,male,3,head_neck_face,0.7,0.6,0.5,0.4,0.3,0.2,0.1\n`,
      'MILK10k_Training_GroundTruth.csv':
        'lesion_id,AKIEC,BCC,BEN_OTH,BKL,DF,INF,MAL_OTH,MEL,NV,SCCKA,VASC\n' +
        'IL_0000652,0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n',
      'MILK10k_Training_Supplement.csv':
        'lesion_id,diagnosis_full,diagnosis_confirm_type\nIL_0000652,"Basal cell carcinoma, nodular",histopathology\n',
    },
    images: [
      'MILK10k_Training_Input/IL_0000652/ISIC_8149219.jpg',
      'MILK10k_Training_Input/IL_0000652/ISIC_4671410.jpg',
    ],
    rows: 2,
    first: {
      path: 'MILK10k_Training_Input/IL_0000652/ISIC_8149219.jpg',
      label: 'BCC',
      group: 'IL_0000652',
      split: 'train',
      id: 'ISIC_8149219',
      metadata: expect.objectContaining({
        diagnosis_full: 'Basal cell carcinoma, nodular',
        MONET_hair: 0.2,
      }) as never,
    },
  },
  {
    preset: 'fitzpatrick17k',
    files: {
      'fitzpatrick17k.csv':
        'md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url,url_alphanum\n' +
        '5e82a45bc5d78bd24ae9202d194423f8,3,3,drug induced pigmentary changes,inflammatory,non-neoplastic,,https://www.example.org/a.jpg,httpwwwexampleorgajpg\n',
    },
    images: ['images/5e82a45bc5d78bd24ae9202d194423f8.jpg'],
    rows: 1,
    first: {
      path: 'images/5e82a45bc5d78bd24ae9202d194423f8.jpg',
      label: 'drug induced pigmentary changes',
      id: '5e82a45bc5d78bd24ae9202d194423f8',
    },
  },
  {
    preset: 'ddi',
    files: {
      'ddi_metadata.csv':
        ',DDI_ID,DDI_file,skin_tone,malignant,disease\n0,1,000001.png,56,True,melanoma-in-situ\n',
    },
    images: ['000001.png'],
    rows: 1,
    first: {
      path: '000001.png',
      label: 'melanoma-in-situ',
      id: '1',
      metadata: {
        'column 1': 0,
        DDI_ID: 1,
        DDI_file: '000001.png',
        skin_tone: 56,
        malignant: true,
        disease: 'melanoma-in-situ',
      },
    },
  },
  {
    preset: 'pad-ufes-20',
    files: {
      'metadata.csv':
        'patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,skin_cancer_history,' +
        'cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,diameter_1,diameter_2,diagnostic,itch,grew,' +
        'hurt,changed,bleed,elevation,img_id,biopsed\n' +
        'PAT_1516,1765,,,,,8,,,,,,,,ARM,,,NEV,FALSE,FALSE,FALSE,FALSE,FALSE,FALSE,PAT_1516_1765_530.png,FALSE\n',
    },
    images: ['images/imgs_part_1/imgs_part_1/PAT_1516_1765_530.png'],
    rows: 1,
    first: {
      path: 'images/imgs_part_1/imgs_part_1/PAT_1516_1765_530.png',
      label: 'NEV',
      group: 'PAT_1516',
      id: 'PAT_1516_1765_530.png',
    },
  },
  {
    preset: 'derm7pt',
    files: {
      'release_v0/meta/meta.csv':
        'case_num,diagnosis,seven_point_score,pigment_network,streaks,pigmentation,regression_structures,dots_and_globules,' +
        'blue_whitish_veil,vascular_structures,level_of_diagnostic_difficulty,elevation,location,sex,management,clinic,derm,' +
        'case_id,notes\n' +
        '1,basal cell carcinoma,0,absent,absent,absent,absent,absent,absent,arborizing,medium,nodular,abdomen,female,excision,NEL/NEL026.jpg,NEL/Nel025.jpg,,\n' +
        '2,nevus,1,typical,absent,absent,absent,irregular,absent,absent,low,flat,back,male,no further examination,NFL/NFL028.jpg,NFL/Nfl027.jpg,,\n',
      'release_v0/meta/train_indexes.csv': 'indexes\n0\n',
      'release_v0/meta/test_indexes.csv': 'indexes\n1\n',
    },
    images: ['NEL/NEL026.jpg', 'NEL/Nel025.jpg', 'NFL/NFL028.jpg', 'NFL/Nfl027.jpg'].map(
      name => `release_v0/images/${name}`,
    ),
    rows: 4,
    first: {
      path: 'release_v0/images/NEL/Nel025.jpg',
      label: 'basal cell carcinoma',
      split: 'train',
      group: '1',
    },
  },
  {
    preset: 'scin',
    files: {
      'dataset/scin_cases.csv': `${SCIN_CASES}\n${line(SCIN_CASES, {
        case_id: '-1000600354148496558',
        fitzpatrick_skin_type: 'FST3',
        image_1_path: 'dataset/images/-3205742176803893704.png',
        image_2_path: 'dataset/images/-4762289084741430925.png',
      })}\n`,
      'dataset/scin_labels.csv': `${SCIN_LABELS}\n${line(SCIN_LABELS, {
        case_id: '-1000600354148496558',
        dermatologist_skin_condition_on_label_name: `"['Inflicted skin lesions', 'Eczema']"`,
        weighted_skin_condition_label: `"{'Inflicted skin lesions': 0.41, 'Eczema': 0.59}"`,
      })}\n`,
    },
    images: ['dataset/images/-3205742176803893704.png', 'dataset/images/-4762289084741430925.png'],
    rows: 2,
    first: {
      path: 'dataset/images/-3205742176803893704.png',
      label: 'Eczema',
      group: '-1000600354148496558',
    },
  },
  {
    preset: 'dermnet',
    files: {},
    images: [
      'train/Acne and Rosacea Photos/acne-cystic-1.jpg',
      'train/Eczema Photos/eczema-hand-2.jpg',
      'test/Nail Fungus and other Nail Disease/beaus-lines-3.jpg',
    ],
    rows: 3,
    first: {
      path: 'test/Nail Fungus and other Nail Disease/beaus-lines-3.jpg',
      label: 'Nail Fungus and other Nail Disease',
      split: 'test',
    },
  },
];

describe('known datasets', () => {
  it.each(CASES)('reads $preset by its header', async ({ preset, files, images, open = '', rows, first }) => {
    const folder = await folderOf(files, images);
    const dataset = await openDataset(join(folder, open));
    const guess = await dataset.guess();
    expect(guess.preset).toBe(preset);
    const read = await allRows(dataset);
    expect(read).toHaveLength(rows);
    expect(read[0]).toMatchObject(first);
    expect(read.map(row => row.problem)).toEqual(read.map(() => undefined));
  });

  it('takes the JPEG where ISIC 2020 has an image as DICOM too', async () => {
    const { files, images } = CASES.find(one => one.preset === 'isic2020')!;
    const folder = await folderOf({ ...files, 'train/ISIC_2637011.dcm': 'other bytes' }, images.slice(1));
    const [row] = await allRows(await openDataset(folder));
    expect(row).toMatchObject({ path: 'jpeg/train/ISIC_2637011.jpg' });
    expect(row!.problem).toBeUndefined();
  });

  it('splits Derm7pt by its index files', async () => {
    const { files, images } = CASES.find(one => one.preset === 'derm7pt')!;
    const rows = await allRows(await openDataset(await folderOf(files, images)));
    expect(rows.map(row => row.split)).toEqual(['train', 'train', 'test', 'test']);
  });

  it.each([
    [
      'skincap_v240715.xlsx',
      'skincap-xlsx',
      ['1.png', '2.png'],
      ['skincap/1.png', 'skincap/2.png', 'not_there.png'],
    ],
    [
      'final_DDI2_Asian_spreadsheet.xlsx',
      'ddi2',
      ['502948221_cropped.jpg', '502948222_cropped.jpg'],
      ['skincap/502948221_cropped.jpg', 'skincap/502948222_cropped.jpg'],
    ],
    [
      'release_midas.xlsx',
      'mra-midas',
      ['s-prd-1.jpg', 's-prd-2.jpg', 's-prd-3.jpeg'],
      ['skincap/s-prd-1.jpg', 'skincap/s-prd-2.jpg', 'skincap/s-prd-3.jpeg'],
    ],
  ])('reads the workbook %s', async (file, preset, images, paths) => {
    const folder = await folderOf(
      {},
      images.map(name => `skincap/${name}`),
    );
    await cp(join(FIXTURES, 'workbooks', file), join(folder, file));
    const dataset = await openDataset(folder);
    expect((await dataset.guess()).preset).toBe(preset);
    const rows = await allRows(dataset);
    expect(rows.map(row => row.path)).toEqual(paths);
  });

  it('reads SkinCAP’s workbook below its title, quotes and line breaks within cells', async () => {
    const dataset = await openDataset(join(FIXTURES, 'workbooks', 'skincap_v240715.xlsx'));
    const rows = await allRows(dataset);
    expect(rows.map(row => row.references[0]!.text)).toEqual([
      'A red plaque with silvery scale.',
      'A black patch, "ugly duckling",\nwith two lines.',
      'Papules on the cheek.',
    ]);
    expect(rows[1]!.metadata).toMatchObject({ skin_tone: 56, malignant: true, caption_zh: '图中可见黑斑' });
    expect(dataset.notes).toEqual(['“skincap_v240715.xlsx”: Its header stands in row 2.']);
  });
});
