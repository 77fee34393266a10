// The rule as the sample's own function computes it, in node: each record is decoded from base64, parsed by JSON.parse,
// scored, and rounded on its decimal text. Commands come in by standard input, a JSON object a line; each is answered
// with a line. The time is measured here, so that the pipe costs nothing.
'use strict'
const fs = require('node:fs')
const readline = require('node:readline')

const round4 = (x) => Number(Math.round(x + 'e4') + 'e-4')
const output = (message) => round4(((message.cadence + 35) * (message.resistance + 65)) / 100)

let payloads = []
let records = []

const rules = {
  // What a function of Lambda is called with.
  base64: () => records.map((record) => output(JSON.parse(Buffer.from(record.kinesis.data, 'base64').toString()))),
  // The payloads as bytes, as if something had decoded them.
  json: () => payloads.map((payload) => output(JSON.parse(payload.toString())))
}

const commands = {
  // The messages of a file, each followed by a line break.
  load: ({ file }) => {
    payloads = fs.readFileSync(file, 'utf8').trimEnd().split('\n').map((line) => Buffer.from(line))
    records = payloads.map((payload) => ({ kinesis: { data: payload.toString('base64') } }))
    return payloads.length
  },
  score: ({ rule }) => rules[rule](),
  // Nanoseconds of processor time of so many calls.
  time: ({ rule, calls }) => {
    let length = 0
    const started = process.cpuUsage()
    for (let call = 0; call < calls; call++) length += rules[rule]().length
    const { user, system } = process.cpuUsage(started)
    if (length !== calls * payloads.length) throw new Error('a call lost rows')
    return (user + system) * 1000
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line)
  console.log(JSON.stringify(commands[command.name](command)))
})
