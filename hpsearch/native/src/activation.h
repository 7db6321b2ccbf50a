/* Keras' activations and their derivatives. */
#pragma once

#include "elementary.h"
#include "network.h"

#define SELU_SCALE 1.05070098735548049342f
#define SELU_ALPHA 1.67326324235437728481f

INLINE vf exponential_unit(vf z, vf scale, vf alpha, vf *slope) {
    vf below = MUL(alpha, expm1_of(z));
    /* z > 0 is false for NaN, so NaN takes the exponential, which keeps it. */
    *slope = IF_GREATER(z, SET(0.0f), scale, MUL(scale, ADD(below, alpha)));
    return MUL(scale, IF_GREATER(z, SET(0.0f), z, below));
}

INLINE vf clipped(vf z, vf low, vf high, vf within, vf *slope) {
    vf inner = IF_GREATER(z, low, IF_GREATER(high, z, within, SET(0.0f)), SET(0.0f));
    *slope = inner;
    return MIN(high, MAX(low, z));
}

/* Return the output; store its derivative by z in `slope`. NaN stays NaN, to show divergence. */
INLINE vf activate(int kind, vf z, vf *slope) {
    const vf zero = SET(0.0f), one = SET(1.0f);
    vf a, s;
    switch (kind) {
    case RELU:
        *slope = IF_GREATER(z, zero, one, zero);
        return MAX(zero, z);
    case RELU6:
        return clipped(z, zero, SET(6.0f), one, slope);
    case HARD_TANH:
        return clipped(z, SET(-1.0f), one, one, slope);
    case LEAKY_RELU:
        *slope = IF_GREATER(z, zero, one, SET(0.2f));
        return IF_GREATER(z, zero, z, MUL(SET(0.2f), z));
    case SIGMOID:
        a = sigmoid_of(z);
        *slope = MUL(a, SUB(one, a));
        return a;
    case TANH:
        a = tanh_of(z);
        *slope = SUB(one, MUL(a, a));
        return a;
    case ELU:
        return exponential_unit(z, one, one, slope);
    case SELU:
        return exponential_unit(z, SET(SELU_SCALE), SET(SELU_ALPHA), slope);
    case SOFTPLUS:
        *slope = sigmoid_of(z);
        return softplus_of(z);
    case SILU:
        s = sigmoid_of(z);
        *slope = MUL(s, FMA(z, SUB(one, s), one));
        return MUL(z, s);
    case SOFTSIGN:
        s = DIV(one, ADD(one, ABS(z)));
        *slope = MUL(s, s);
        return MUL(z, s);
    case EXPONENTIAL:
        return *slope = exp_of(z);
    case HARD_SIGMOID:
        a = clipped(ADD(z, SET(3.0f)), zero, SET(6.0f), one, slope);
        *slope = DIV(*slope, SET(6.0f));
        return DIV(a, SET(6.0f));
    case HARD_SILU:
        a = clipped(ADD(z, SET(3.0f)), zero, SET(6.0f), one, slope);
        a = DIV(a, SET(6.0f));
        *slope = FMA(z, DIV(*slope, SET(6.0f)), a);
        return MUL(z, a);
    case GELU:
        s = MUL(SET(0.5f), ADD(one, erf_of(MUL(z, SET(0.70710678118654752f)))));
        a = MUL(SET(0.39894228040143268f), exp_of(MUL(SET(-0.5f), MUL(z, z))));
        *slope = FMA(z, a, s);
        return MUL(z, s);
    case MISH:
        s = tanh_of(softplus_of(z));
        a = MUL(SUB(one, MUL(s, s)), sigmoid_of(z));
        *slope = FMA(z, a, s);
        return MUL(z, s);
    default:
        *slope = one;
        return z;
    }
}
