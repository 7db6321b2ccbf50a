/* The engine for 64-bit ARM. */
#if defined(__aarch64__)
#define ENGINE_NEON
#include "engine.h"
const Engine engine_neon = {"neon", train, evaluate, activate_all};
#endif
