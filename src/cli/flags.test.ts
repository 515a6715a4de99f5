import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { trainConfigSchema } from '../shared/config.ts';
import { indexConfigSchema } from '../shared/feature-tables.ts';
import { addFlags, givenFlags, parseConfig, parseCount, parseNumber, readConfigFile } from './flags.ts';

function parse(...words: string[]): Record<string, unknown> {
  const command = new Command('train').exitOverride().configureOutput({ writeErr: () => {} });
  addFlags(command, trainConfigSchema);
  command.parse(words, { from: 'user' });
  return givenFlags(command, trainConfigSchema);
}

describe('flags', () => {
  it('are the schema in kebab-case; only what was given is set', () => {
    expect(parse('--model', 'demo/model', '--batch-tokens', '512', '--data', 'a.txt', 'b.txt')).toEqual({
      model: 'demo/model',
      batchTokens: 512,
      data: ['a.txt', 'b.txt'],
    });
  });

  it('have a negative for switches that are on by default', () => {
    expect(parse('--no-exclude-special')).toEqual({ excludeSpecial: false });
    expect(parse()).toEqual({});
  });

  it('understand numbers as people write them', () => {
    expect(['4096', '2e6', '2_000_000', '2M', '0.3M', '500k', '1e-4', '.5'].map(parseNumber)).toEqual([
      4096, 2e6, 2e6, 2e6, 300000, 500000, 1e-4, 0.5,
    ]);
    expect(() => parseNumber('many')).toThrow(/such as 4096/);
    expect(() => parseNumber('')).toThrow();
  });

  it('take lists of numbers with spaces or commas between them', () => {
    const latents = (...words: string[]) => {
      const command = new Command('index').exitOverride().configureOutput({ writeErr: () => {} });
      addFlags(command, indexConfigSchema);
      command.parse(['--latents', ...words], { from: 'user' });
      return givenFlags(command, indexConfigSchema).latents;
    };
    for (const words of [['12', '99'], ['12,99'], ['12,', '99'], ['12', '--latents', '99']])
      expect(latents(...words)).toEqual([12, 99]);
    for (const wrong of ['12,,99', ',', 'x,3']) expect(() => latents(wrong)).toThrow(/such as 4096/);
  });

  it('counts are whole numbers from 0 on', () => {
    expect(['0', '12', '2k'].map(parseCount)).toEqual([0, 12, 2000]);
    for (const wrong of ['-3', '2.5', 'x']) expect(() => parseCount(wrong)).toThrow(/Expected/);
  });

  it('a config file that is no JSON is told the schema of its own command', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'saekit-flags-')), 'bad.json');
    writeFileSync(path, '{');
    for (const command of ['generate', 'train']) {
      const schema = `docs/${command}-config.schema.json`;
      await expect(readConfigFile(path, command)).rejects.toThrow(schema);
      expect(existsSync(schema)).toBe(true);
    }
    rmSync(dirname(path), { recursive: true });
  });

  it('exist for every field of the schema', () => {
    const command = new Command('train');
    addFlags(command, trainConfigSchema);
    const flags = command.options.map((option) => option.attributeName());
    expect(flags.sort()).toEqual(
      Object.keys(trainConfigSchema.shape)
        .filter((name) => name !== '$schema')
        .sort(),
    );
    expect(command.options.every((option) => option.description.length > 10)).toBe(true);
  });
});

describe('config errors', () => {
  const message = (input: Record<string, unknown>): string => {
    try {
      parseConfig(trainConfigSchema, { model: 'm', data: ['d'], ...input });
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('say what was found, what was expected and which flag it is', () => {
    expect(message({ latents: -3 })).toBe('--latents: found -3, expected >0.');
    expect(message({ latents: 1.5 })).toMatch(/^--latents: found 1.5, expected int/);
    expect(message({ freeze: 'all' })).toMatch(/^--freeze: found "all", expected one of "none"\|"decoder"/);
    expect(message({ model: undefined })).toMatch(/^--model is missing\. Model folder/);
  });

  it('offer the nearest names for an unknown field', () => {
    expect(message({ latnets: 8 })).toBe('Unknown field "latnets". Did you mean "latents"?');
  });
});
