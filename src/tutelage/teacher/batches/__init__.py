"""The same teacher by OpenAI's batch API: handed in together, fetched within a day, for half the price."""
