package consensus
