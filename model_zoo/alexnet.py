"""AlexNet, ZFNet and CaffeNet."""

MODELS = {}
