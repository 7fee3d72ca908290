"""Text: tokenisers with vocabularies for any script, padded batches, n-gram models."""

from .kneser_ney import KneserNey
from .tokenizers import BytePairTokenizer, CharTokenizer, WordTokenizer, pad_batch, split_words

__all__ = [
    "BytePairTokenizer",
    "CharTokenizer",
    "KneserNey",
    "WordTokenizer",
    "pad_batch",
    "split_words",
]
