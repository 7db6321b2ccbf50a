/* exp, log and the other functions in activations; each within 2 ulp over the range in use.

   Source of the coefficients: Cephes (expf, logf, tanhf), Taylor (expm1), and for erf the rational
   function of Eigen's `generic_fast_erf_float`. */
#pragma once

#include "vector.h"

INLINE vf exp_of(vf x) {
    /* Out of range, saturate at the largest or the smallest normal number. */
    x = MIN(SET(88.3762626f), MAX(SET(-87.3365447f), x));
    vi n = TO_INT(MUL(x, SET(1.44269504088896341f)));
    vf k = FROM_INT(n);
    vf r = FMA(k, SET(-0.693359375f), x);
    r = FMA(k, SET(2.12194440e-4f), r);
    vf p = SET(1.9875691500e-4f);
    p = FMA(p, r, SET(1.3981999507e-3f));
    p = FMA(p, r, SET(8.3334519073e-3f));
    p = FMA(p, r, SET(4.1665795894e-2f));
    p = FMA(p, r, SET(1.6666665459e-1f));
    p = FMA(p, r, SET(5.0000001201e-1f));
    p = ADD(FMA(MUL(r, r), p, r), SET(1.0f));
    /* Scale by half of the exponent twice, since no float is 2^128. */
    vi half = ISUB(IRIGHT(IADD(n, ISET(256)), 1), ISET(128));
    vf first = FLOAT(ILEFT(IADD(half, ISET(127)), 23));
    vf second = FLOAT(ILEFT(IADD(ISUB(n, half), ISET(127)), 23));
    return MUL(MUL(p, first), second);
}

INLINE vf log_of(vf x) { /* for normal positive numbers */
    vi bits = BITS(x);
    vi exponent = ISUB(IRIGHT(bits, 23), ISET(126));
    vf m = FLOAT(IOR(IAND(bits, ISET(0x007fffff)), ISET(0x3f000000)));
    vf e = FROM_INT(exponent);
    vf small = SET(0.707106781186547524f);
    e = IF_GREATER(small, m, SUB(e, SET(1.0f)), e);
    m = IF_GREATER(small, m, ADD(m, m), m);
    m = SUB(m, SET(1.0f));
    vf z = MUL(m, m);
    vf p = SET(7.0376836292e-2f);
    p = FMA(p, m, SET(-1.1514610310e-1f));
    p = FMA(p, m, SET(1.1676998740e-1f));
    p = FMA(p, m, SET(-1.2420140846e-1f));
    p = FMA(p, m, SET(1.4249322787e-1f));
    p = FMA(p, m, SET(-1.6668057665e-1f));
    p = FMA(p, m, SET(2.0000714765e-1f));
    p = FMA(p, m, SET(-2.4999993993e-1f));
    p = FMA(p, m, SET(3.3333331174e-1f));
    vf y = MUL(MUL(m, z), p);
    y = FMA(e, SET(-2.12194440e-4f), y);
    y = FMA(z, SET(-0.5f), y);
    return FMA(e, SET(0.693359375f), ADD(m, y));
}

INLINE vf log1p_of(vf u) { /* for 0 <= u <= 1; corrects the rounding of 1 + u */
    vf w = ADD(SET(1.0f), u);
    return ADD(log_of(w), DIV(SUB(u, SUB(w, SET(1.0f))), w));
}

INLINE vf expm1_of(vf x) {
    vf p = SET(1.0f / 5040.0f);
    p = FMA(p, x, SET(1.0f / 720.0f));
    p = FMA(p, x, SET(1.0f / 120.0f));
    p = FMA(p, x, SET(1.0f / 24.0f));
    p = FMA(p, x, SET(1.0f / 6.0f));
    p = FMA(p, x, SET(0.5f));
    vf near = FMA(MUL(x, x), p, x);
    return IF_GREATER(ABS(x), SET(0.35f), SUB(exp_of(x), SET(1.0f)), near);
}

INLINE vf sigmoid_of(vf x) {
    return DIV(SET(1.0f), ADD(SET(1.0f), exp_of(SUB(SET(0.0f), x))));
}

INLINE vf softplus_of(vf x) {
    vf rest = log1p_of(exp_of(SUB(SET(0.0f), ABS(x))));
    return ADD(MAX(SET(0.0f), x), rest);
}

INLINE vf tanh_of(vf x) {
    vf z = MUL(x, x);
    vf p = SET(-5.70498872745e-3f);
    p = FMA(p, z, SET(2.06390887954e-2f));
    p = FMA(p, z, SET(-5.37397155531e-2f));
    p = FMA(p, z, SET(1.33314422036e-1f));
    p = FMA(p, z, SET(-3.33332819422e-1f));
    vf near = FMA(MUL(z, x), p, x);
    vf far = SUB(SET(1.0f), DIV(SET(2.0f), ADD(exp_of(ADD(ABS(x), ABS(x))), SET(1.0f))));
    far = IF_GREATER(SET(0.0f), x, SUB(SET(0.0f), far), far);
    return IF_GREATER(ABS(x), SET(0.625f), far, near);
}

INLINE vf erf_of(vf x) {
    x = MIN(SET(4.0f), MAX(SET(-4.0f), x));
    vf z = MUL(x, x);
    vf p = SET(-2.72614225801306e-10f);
    p = FMA(p, z, SET(2.77068142495902e-08f));
    p = FMA(p, z, SET(-2.10102402082508e-06f));
    p = FMA(p, z, SET(-5.69250639462346e-05f));
    p = FMA(p, z, SET(-7.34990630326855e-04f));
    p = FMA(p, z, SET(-2.95459980854025e-03f));
    p = FMA(p, z, SET(-1.60960333262415e-02f));
    vf q = SET(-1.45660718464996e-05f);
    q = FMA(q, z, SET(-2.13374055278905e-04f));
    q = FMA(q, z, SET(-1.68282697438203e-03f));
    q = FMA(q, z, SET(-7.37332916720468e-03f));
    q = FMA(q, z, SET(-1.42647390514189e-02f));
    return DIV(MUL(x, p), q);
}
