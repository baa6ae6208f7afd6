// One scene of one file, in this process alone: prints its rows as JSON.
const [file, scene] = process.argv.slice(2);
const { scenes } = await import(`./${file}.js`);
const rows = [];
await scenes[scene]((what, value, unit, beside) => rows.push({ what, value, unit, ...beside }));
console.log(JSON.stringify(rows));
