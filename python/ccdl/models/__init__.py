"""Ready models."""

from __future__ import annotations

from typing import Any

_WHERE = {
    "Captioner": "visual_attention",
    "GlimpseClassifier": "visual_attention",
    "Seq2SeqTransformer": "seq2seq",
    "Seq2Seq": "seq2seq",
    "EmbeddingClassifier": "text_classifier",
    "CharRNN": "char_rnn",
    "BiLSTMClassifier": "text_classifier",
    "GPT": "gpt",
    "HMM": "hmm",
    "LeNet5": "lenet",
    "MLP": "mlp",
    "Perceptron": "perceptron",
    "ThresholdUnit": "perceptron",
    "xor_from_and_or": "perceptron",
    "conv_pattern": "pattern",
    "generate": "generation",
    "sequence_log_prob": "generation",
    "AlexNet": "alex",
    "AlexNet2012": "alex",
    "alexnet": "alex",
    "VGG": "vgg",
    "vgg11": "vgg",
    "vgg11_bn": "vgg",
    "vgg13": "vgg",
    "vgg13_bn": "vgg",
    "vgg16": "vgg",
    "vgg16_bn": "vgg",
    "vgg19": "vgg",
    "vgg19_bn": "vgg",
    "GoogLeNet": "inception",
    "GoogLeNetOutputs": "inception",
    "Inception": "inception",
    "googlenet": "inception",
    "BasicBlock": "resnet",
    "Bottleneck": "resnet",
    "ResNet": "resnet",
    "SmallResNet": "resnet",
    "plain20": "resnet",
    "plain56": "resnet",
    "resnet18": "resnet",
    "resnet20": "resnet",
    "resnet34": "resnet",
    "resnet50": "resnet",
    "resnet56": "resnet",
    "resnet101": "resnet",
    "resnet152": "resnet",
    "resnext50_32x4d": "resnet",
    "wide_resnet50_2": "resnet",
    "DenseNet": "densenet",
    "HighwayNet": "highway",
    "densenet121": "densenet",
    "densenet161": "densenet",
    "densenet169": "densenet",
    "densenet201": "densenet",
    "DeepPlainCNN": "deep_cnn",
}

__all__ = list(_WHERE)

def __getattr__(name: str) -> Any:
    import importlib

    if name in _WHERE:
        return getattr(importlib.import_module("." + _WHERE[name], __name__), name)
    if name in _WHERE.values():
        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'ccdl.models' has no attribute '{name}'")
