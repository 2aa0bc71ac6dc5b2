"""Fine-tuning of language models (QPA): texts, tokens, perplexities, and adapters from PEFT."""
