// Solves a challenge of ours in a thread of its own: the page stays smooth meanwhile.

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const hex = (buffer) =>
  Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function derived(parameters, salt, nonce, counter) {
  const password = new Uint8Array(nonce.length + 4);
  password.set(nonce);
  new DataView(password.buffer).setUint32(nonce.length, counter);
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations: parameters.cost };
  return hex(await crypto.subtle.deriveBits(how, key, parameters.keyLength * 8));
}

async function solved({ parameters, signature }) {
  const salt = bytes(parameters.salt);
  const nonce = bytes(parameters.nonce);
  for (let counter = 0; ; counter++) {
    const derivedKey = await derived(parameters, salt, nonce, counter);
    if (derivedKey.startsWith(parameters.keyPrefix)) {
      return { challenge: { parameters, signature }, solution: { counter, derivedKey } };
    }
  }
}

onmessage = async ({ data: challenge }) => {
  postMessage(btoa(JSON.stringify(await solved(challenge))));
};
