import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Message } from '../data/types.ts';
import { createChatRenderer } from './chat.ts';

// test/oracles/models/make_chat_templates.py: transformers' apply_chat_template.
type Conversation = {
  messages: Message[];
  tools?: unknown[];
  add_generation_prompt?: boolean;
  variables?: Record<string, unknown>;
};
type Case = { template: string; conversation: number; text?: string; error?: string };
const golden = JSON.parse(
  readFileSync(new URL('../../test/golden/models/chat/templates.json', import.meta.url), 'utf8'),
) as {
  special: Record<string, string>;
  templates: Record<string, string>;
  conversations: Conversation[];
  cases: Case[];
};

describe('the text of transformers, or its refusal', () => {
  test.each(Object.keys(golden.templates))('%s', (name) => {
    const render = createChatRenderer({ source: golden.templates[name]!, tokens: golden.special });
    const cases = golden.cases.filter(({ template }) => template === name);
    expect(cases.length).toBe(golden.conversations.length);
    for (const { conversation, text, error } of cases) {
      const { messages, tools, add_generation_prompt, variables } = golden.conversations[conversation]!;
      const write = () =>
        render(messages, {
          spans: false,
          ...(add_generation_prompt ? { addGenerationPrompt: true } : {}),
          ...(tools ? { tools } : {}),
          ...(variables ? { variables } : {}),
        }).text;
      if (error === undefined) expect([conversation, write()]).toEqual([conversation, text]);
      else expect(write).toThrow(/refuses this conversation/);
    }
  });
});
