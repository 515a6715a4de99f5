/** A Llama with random weights as a Hugging Face folder, so that both sides of a harvest comparison open the same files. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '../../src/formats/index.ts';
import { createRng } from '../../src/shared/rng.ts';

export const modelShape = { layers: 12, D: 512, heads: 8, kvHeads: 4, mlp: 1408, V: 4096 };
export type RandomShape = typeof modelShape;

/** Writes config.json and model.safetensors (F32, about 150 MB by default) into `folder`. */
export function writeRandomModel(folder: string, shape: RandomShape = modelShape): void {
  const { layers, D, heads, kvHeads, mlp, V } = shape;
  const rng = createRng('random-model');
  // A table of normals read from random places: 37 M Box-Muller draws would take longer than the benchmark.
  const table = Float32Array.from({ length: 1 << 20 }, () => rng.normal());
  const normal = (rows: number, columns: number) => {
    const scale = 1 / Math.sqrt(columns);
    const data = new Float32Array(rows * columns);
    for (let at = 0; at < data.length; at += 4096) {
      const from = rng.int(table.length - 4096);
      for (let j = 0; j < 4096 && at + j < data.length; j++) data[at + j] = table[from + j]! * scale;
    }
    return { dtype: 'F32' as const, shape: [rows, columns], data };
  };
  const ones = () => ({ dtype: 'F32' as const, shape: [D], data: new Float32Array(D).fill(1) });
  const kv = (D / heads) * kvHeads;
  const tensors = Object.fromEntries([
    ['model.embed_tokens.weight', normal(V, D)],
    ['model.norm.weight', ones()],
    ...Array.from({ length: layers }, (_, l) =>
      Object.entries({
        'input_layernorm.weight': ones(),
        'post_attention_layernorm.weight': ones(),
        'self_attn.q_proj.weight': normal(D, D),
        'self_attn.k_proj.weight': normal(kv, D),
        'self_attn.v_proj.weight': normal(kv, D),
        'self_attn.o_proj.weight': normal(D, D),
        'mlp.gate_proj.weight': normal(mlp, D),
        'mlp.up_proj.weight': normal(mlp, D),
        'mlp.down_proj.weight': normal(D, mlp),
      }).map(([name, tensor]) => [`model.layers.${l}.${name}`, tensor] as const),
    ).flat(),
  ]);
  writeFileSync(
    join(folder, 'model.safetensors'),
    Buffer.concat(writeSafetensors(tensors, { format: 'pt' })),
  );
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      hidden_size: D,
      num_hidden_layers: layers,
      num_attention_heads: heads,
      num_key_value_heads: kvHeads,
      intermediate_size: mlp,
      vocab_size: V,
      hidden_act: 'silu',
      max_position_embeddings: 2048,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      tie_word_embeddings: true,
      bos_token_id: 0,
      eos_token_id: 1,
      torch_dtype: 'float32',
    }),
  );
}
