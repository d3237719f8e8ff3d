/** Waits for both, whatever becomes of one of them: nothing of it goes on in the next test. Rejects as the first does. */
export async function both<One, Other>(one: Promise<One>, other: Promise<Other>): Promise<[One, Other]> {
  await Promise.allSettled([one, other]);
  return Promise.all([one, other]);
}
