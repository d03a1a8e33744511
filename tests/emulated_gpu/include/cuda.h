// Found where build scripts look for the toolkit; the emulated one has version 13.0.
#pragma once
#define CUDA_VERSION 13000
