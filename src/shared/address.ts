/** Characters of an address that the server reads and the app makes: 200,000 of a text in Latin letters, a ninth of that in Chinese. */
export const LONGEST_ADDRESS = 200_000;
