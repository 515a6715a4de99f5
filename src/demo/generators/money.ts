/**
 * Dialogues at a till: who pays what, how, for which brand's product.
 * Spans: `speaker`, `money` (value: the currency), `brand`, `product`, `instrument` (the means of payment; value: cash, card, …).
 */
import type { Rng } from '../../shared/rng.ts';
import { createDraft, type Draft, type LabelledText } from '../labelled-text.ts';
import { brands, firstNames, products } from '../word-lists.ts';

const instruments: readonly (readonly [string, string])[] = [
  ['cash', 'cash'],
  ['a fifty-dollar bill', 'cash'],
  ['coins', 'cash'],
  ['my credit card', 'card'],
  ['a debit card', 'card'],
  ['this gift card', 'gift card'],
  ['a cheque', 'cheque'],
  ['a bank transfer', 'transfer'],
  ['my phone', 'phone'],
  ['store credit', 'credit'],
  ['a voucher', 'voucher'],
];
const currencies: readonly (readonly [string, (amount: string) => string])[] = [
  ['dollar', (amount) => `$${amount}`],
  ['pound', (amount) => `£${amount}`],
  ['euro', (amount) => `€${amount}`],
  ['dollar', (amount) => `${amount} dollars`],
  ['euro', (amount) => `${amount} euros`],
];

interface Deal {
  draft: Draft;
  rng: Rng;
  brand: string;
  product: string;
  currency: readonly [string, (amount: string) => string];
  cents: number;
}

function money({ draft, currency }: Deal, cents: number): void {
  const amount = cents % 100 === 0 ? String(cents / 100) : (cents / 100).toFixed(2);
  draft.mark('money', currency[1](amount), currency[0]);
}

function thing({ draft, brand, product }: Deal): void {
  draft.mark('brand', brand);
  draft.put(' ');
  draft.mark('product', product);
}

const buyerLines: readonly ((deal: Deal) => void)[] = [
  (deal) => {
    deal.draft.put('How much is the ');
    thing(deal);
    deal.draft.put('?');
  },
  (deal) => {
    deal.draft.put("I'm looking for a ");
    thing(deal);
    deal.draft.put(' under ');
    money(deal, deal.cents + 1000);
    deal.draft.put('.');
  },
  (deal) => {
    const [words, value] = deal.rng.pick(instruments);
    deal.draft.put('Can I pay with ');
    deal.draft.mark('instrument', words, value);
    deal.draft.put('?');
  },
  (deal) => {
    deal.draft.put(
      deal.rng.pick([
        'That is more than I wanted to spend. Would you take ',
        'My budget is only ',
        'I saw it elsewhere for ',
      ]),
    );
    money(deal, Math.max(100, deal.cents - 100 * (1 + deal.rng.int(20))));
    deal.draft.put(deal.rng.pick(['?', ', I am afraid?', ', honestly?']));
  },
  (deal) => {
    const [words, value] = deal.rng.pick(instruments);
    deal.draft.put(deal.rng.pick(['All right, here is ', 'Fine, I will use ', 'Good. Let me pay with ']));
    deal.draft.mark('instrument', words, value);
    deal.draft.put('.');
  },
];
const sellerLines: readonly ((deal: Deal) => void)[] = [
  (deal) => {
    deal.draft.put('The ');
    thing(deal);
    deal.draft.put(deal.rng.pick([' costs ', ' is ', ' is on sale for ']));
    money(deal, deal.cents);
    deal.draft.put(deal.rng.pick([' today.', ', tax included.', '.']));
  },
  (deal) => {
    const [words, value] = deal.rng.pick(instruments);
    deal.draft.put('Sorry, we do not take ');
    deal.draft.mark('instrument', words.replace('my ', 'a '), value);
    deal.draft.put(' here.');
  },
  (deal) => {
    deal.draft.put(deal.rng.pick(['I can give you a discount of ', 'You would save ', 'The deposit is ']));
    money(deal, 100 * (1 + deal.rng.int(30)));
    deal.draft.put('.');
  },
  (deal) => {
    deal.draft.put('Your change is ');
    money(deal, 5 * (1 + deal.rng.int(400)));
    deal.draft.put(deal.rng.pick(['. Thank you!', '. Have a nice day.', '. Here is your receipt.']));
  },
];

/** A dialogue of eight to eleven lines between two people. */
export function generateMoney(rng: Rng): LabelledText {
  const draft = createDraft();
  const buyer = rng.pick(firstNames);
  const seller = rng.pick(['Clerk', 'Cashier', 'Seller', 'Agent']);
  const cents = rng.int(2) === 0 ? 100 * (5 + rng.int(400)) : 499 + 100 * rng.int(300);
  const deal: Deal = {
    draft,
    rng,
    brand: rng.pick(brands),
    product: rng.pick(products),
    currency: rng.pick(currencies),
    cents,
  };
  const turns = 8 + rng.int(4);
  for (let turn = 0; turn < turns; turn++) {
    const isBuyer = turn % 2 === 0;
    draft.mark('speaker', isBuyer ? buyer : seller);
    draft.put(': ');
    const lines = isBuyer ? buyerLines : sellerLines;
    // The first exchange asks for and names the price; the rest is free.
    const line = turn < 2 ? lines[0] : rng.pick(lines);
    line?.(deal);
    draft.put('\n');
  }
  return draft.done();
}
