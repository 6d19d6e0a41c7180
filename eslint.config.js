import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import reactHooks from 'eslint-plugin-react-hooks';
import globals from 'globals';
import ts from 'typescript-eslint';

export default ts.config(
  {
    ignores: [
      '**/lib/',
      '**/node_modules/',
      '.venv/',
      '.reference-venv/',
      '.demo-venv/',
      'demo-study/',
      'extension/jupyterlab_dermcap/',
      'test-results/',
      'playwright-report/',
      'coverage/',
    ],
  },
  js.configs.recommended,
  ...ts.configs.recommended,
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: { globals: globals.node },
  },
  {
    files: ['**/*.{ts,tsx}'],
    plugins: { 'react-hooks': reactHooks },
    rules: {
      ...reactHooks.configs.recommended.rules,
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    // JupyterLab's idiom: `namespace CommandIDs` beside the plugins.
    files: ['extension/**'],
    rules: { '@typescript-eslint/no-namespace': 'off' },
  },
  {
    // Types and their schemas share a name in the contract, as zod's own documentation does it.
    files: ['kernel-server/src/contract/**'],
    rules: { '@typescript-eslint/no-redeclare': 'off' },
  },
  prettier,
);
