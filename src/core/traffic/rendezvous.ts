/**
 * Which upstream a key belongs to, by weighted rendezvous hashing (Thaler and Ravishankar 1998; weights after Schindelhauer
 * and Schomaker 2005): each upstream draws a number from the key, and the best number has it.
 *
 * Nobody keeps a ring or a map, so all edges agree; when one leaves only its own keys move, and come back with it.
 */

/** FNV-1a over UTF-16 code units, mixed (MurmurHash3's finalizer), since FNV alone leaves similar keys together. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return mix(hash);
}

/** Lower is better; `weight` above 0. Twice the weight has twice the keys. */
export function drawOf(keyHash: number, ownerHash: number, weight: number): number {
  // Of 32 bits, in (0, 1): an exponential variate, whose least of several is one's own in proportion to the weights.
  const uniform = (mix(keyHash ^ Math.imul(ownerHash, 0x9e3779b1)) + 0.5) / 0x1_0000_0000;
  return -Math.log(uniform) / weight;
}

function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
