// Two libraries for wallets that know nothing of DPoW: each has been given a URL where it expects a node's.
//
// usage: wallet.cjs URL KEY call METHOD ARGUMENTS   calls a method of @dev-ptera/nano-node-rpc with a list of arguments in JSON, the
//                                                   key in a header, and prints the reply
//        wallet.cjs URL receive                     has a wallet of nano-wallet-js receive a block, the key in the URL, and prints
//                                                   what it hands to its node
'use strict'

const http = require('node:http')

async function call(url, key, method, list) {
  const { NanoClient } = require('@dev-ptera/nano-node-rpc')
  const client = new NanoClient({ url, requestHeaders: { Authorization: `Bearer ${key}` } })
  try {
    console.log(JSON.stringify(await client[method](...JSON.parse(list))))
  } catch (refused) {
    if (!refused.error) throw refused
    console.log(JSON.stringify(refused))
  }
}

// The rest of a node, as far as the wallet needs it: one block to receive, and a ledger that takes any other.
function node(received) {
  const { hashBlock } = require('nanocurrency')
  return http.createServer((request, response) => {
    let body = ''
    request.on('data', (some) => (body += some))
    request.on('end', () => {
      const { action, block } = JSON.parse(body)
      if (action === 'process') received(block)
      const answers = {
        receivable: () => ({ blocks: { ['AB'.repeat(32)]: '1000000000000000000000000000000' } }),
        process: () => ({ hash: hashBlock(block) }),
      }
      response.end(JSON.stringify(answers[action]()))
    })
  })
}

async function receive(url) {
  const { derivePublicKey, validateWork } = require('nanocurrency')
  const Wallet = require('nano-wallet-js').default
  const privateKey = '01'.repeat(32)
  const root = derivePublicKey(privateKey)
  const server = node((block) => {
    const is_valid = validateWork({ work: block.work, blockHash: root, threshold: 'fffffe0000000000' })
    console.log(JSON.stringify({ root, work: block.work, is_valid_by_nanocurrency: is_valid }))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const representative = 'nano_3arg3asgtigae3xckabaaewkx3bzsh7nwz7jkmjos79ihyaxwphhm6qgjps4'
  const rpcUrls = `http://127.0.0.1:${server.address().port}`
  const wallet = new Wallet({ rpcUrls, workerUrls: url, privateKey, representative, precomputeWork: false })
  await wallet.getReceivable()
  await wallet.receive('AB'.repeat(32))
  server.close()
}

const [url, ...rest] = process.argv.slice(2)
if (rest[0] === 'receive') receive(url)
else call(url, rest[0], rest[2], rest[3])
