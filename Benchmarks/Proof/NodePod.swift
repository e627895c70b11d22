// What does a pod look like that somebody wrote for Node.js? As plain as it gets, with all of Node's own settings.

/// The script: `node FILE IP PORT SERVICE POD`.
let nodePod = #"""
    const [ip, port, service, pod] = process.argv.slice(2);
    const size = 200000, pattern = Buffer.alloc(size);
    for (let i = 0; i < size; i++) pattern[i] = (i * 31 + (i >> 8) * 7 + (i >> 16) * 13) & 255;
    const M = (1n << 64n) - 1n;
    function scrambled(value) {
      let z = (value + 0x9E3779B97F4A7C15n) & M;
      z = ((z ^ (z >> 30n)) * 0xBF58476D1CE4E5B9n) & M;
      z = ((z ^ (z >> 27n)) * 0x94D049BB133111EBn) & M;
      return z ^ (z >> 31n);
    }
    require('http').createServer((request, response) => {
      let hash = 0x811C9DC5;
      request.on('data', (piece) => { for (const byte of piece) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0; });
      request.on('end', () => {
        const id = request.url.startsWith('/r/') ? Number(request.url.slice(3)) : 0;
        const mix = scrambled(BigInt(id)), answer = Number(mix >> 32n & 0xFFFn), start = Number(mix >> 54n & 0x3FFn);
        const kind = mix >> 44n;
        const length = id === 0 ? 3
          : (kind & 63n) === 0n ? 100000 + answer * 8 : (kind & 15n) === 1n ? 16000 + answer : 64 + answer;
        response.writeHead(200, { 'Content-Length': length, 'X-Service': service, 'X-Pod': pod, 'X-Id': String(id),
          'X-Hash': hash.toString(16).padStart(8, '0') });
        response.end(pattern.subarray(start, start + length));
      });
    }).listen(Number(port), ip, () => console.log('ready'));
    """#
