/** The real embedder's thread with a runtime that prints, as TensorFlow's does elsewhere. */
await import('../../../src/models/local/embed-worker.ts');
console.log('Hi there');
console.warn('this machine could do more');
process.stdout.write('one more\n');
