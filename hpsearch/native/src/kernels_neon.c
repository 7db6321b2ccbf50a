/* The kernels for 64-bit ARM. */
#if defined(__aarch64__)
#define KERNELS_NEON
#include "kernels.h"
const Kernels kernels_neon = {"neon", train, evaluate, activate_all};
#endif
