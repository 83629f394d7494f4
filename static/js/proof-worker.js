// Solves an ALTCHA challenge (protocol 2, PBKDF2): looks for the counter whose derived key begins as the challenge says.
"use strict";

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function solve({nonce, salt, cost, keyLength, keyPrefix}) {
  const password = new Uint8Array([...bytes(nonce), 0, 0, 0, 0]);
  const counted = new DataView(password.buffer, password.length - 4);
  const how = {name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost};
  for (let counter = 0; ; counter += 1) {
    counted.setUint32(0, counter);
    const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    const derivedKey = hex(await crypto.subtle.deriveBits(how, key, keyLength * 8));
    if (derivedKey.startsWith(keyPrefix)) return {counter, derivedKey};
  }
}

addEventListener("message", async ({data}) => postMessage(await solve(data)));
