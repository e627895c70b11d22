// The one function of libFuzzer that we call: its main loop, which calls back with each input. In LLVM's own header it
// is C++ only.
#pragma once
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));
