/** Both files of a layer of a cross-layer transcoder as circuit-tracer names them, of the path of one; undefined for other paths. */
export function crossLayerFiles(path: string): [encoder: string, decoder: string] | undefined {
  const [, folder, end] = /^(|.*\/)W_(?:enc|dec)(_\d+\.safetensors)$/.exec(path) ?? [];
  return end === undefined ? undefined : [`${folder}W_enc${end}`, `${folder}W_dec${end}`];
}
