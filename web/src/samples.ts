/** Texts to begin with, written for this page: several registers in one paragraph, then one each. */
export const SAMPLES: readonly { readonly name: string; readonly text: string }[] = [
  {
    name: 'a mixture',
    text: 'Fellow citizens, the Congress has met again in this city. {"name": "Ada", "age": 36, "admin": true} Tous les êtres humains naissent libres et égaux. ACGTTAGCCATGACCTTGAAGT 12 + 30 = 42. Preheat the oven and chop two onions finely. Все люди рождаются свободными.',
  },
  {
    name: 'speech',
    text: 'Fellow citizens of the Senate and House of Representatives: the state of our finances is sound, and the peace of the nation has not been disturbed during the past year.',
  },
  {
    name: 'JSON',
    text: '{"id": 17, "name": "Maria Keller", "tags": ["new", "export"], "price": 24.50, "address": {"city": "Bern", "zip": "3011"}}',
  },
  {
    name: 'French',
    text: 'Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de conscience.',
  },
  {
    name: 'recipe',
    text: 'Onion soup. Serves 4. Ingredients: 3 onions, 50 g butter, 1 l stock. Slice the onions and fry them slowly until golden. Add the stock and simmer for 20 minutes.',
  },
  {
    name: 'code',
    text: 'export function sum(values: number[]): number {\n  let total = 0;\n  for (const value of values) total += value; // one pass\n  return total;\n}',
  },
  { name: 'DNA', text: 'ATGGCGTACGTTAGCCTAGGATCCGATTACAGGCTAAGCTTGGCCATTGACCGT' },
  {
    name: 'log',
    text: '192.168.0.14 - - [12/Mar/2021:10:24:31 +0000] "GET /images/logo.png HTTP/1.1" 200 5120\n192.168.0.21 - - [12/Mar/2021:10:24:35 +0000] "POST /login HTTP/1.1" 302 0',
  },
];
