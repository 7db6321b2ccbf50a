/* The three products of a step, in tiles: C[i][j] = sum over n of P(i, n) * Q[n][j].

   The sum runs over n in order, one fused multiply-add a term, for any tile shape. So results do
   not depend on the processor's vector length, nor on which rows share a batch. */
#pragma once

#include "network.h"
#include "team.h"
#include "vector.h"

typedef struct {
    const float *p;
    long p_row, p_step;      /* P(i, n) = p[i * p_row + n * p_step] */
    const float *q;
    long q_step;             /* Q[n][j] = q[n * q_step + j] */
    long n;
    long blocks, p_block, q_block, last; /* blocks of n terms; the last one has `last` terms */
} Product;

/* A tile of gradients, waiting for its update. */
typedef struct {
    const Update *update;
    float *gradient;         /* vectors of the tile, row by row */
    float *w, *slot[2];
    long ld, at;             /* position of the tile in the weights */
    int shift, count;        /* log2 of the vectors a row; vectors in all */
} Pending;

INLINE long pending_offset(const Pending *pending, long at, int t) {
    const int mask = (1 << pending->shift) - 1;
    return at + (t >> pending->shift) * pending->ld + (t & mask) * LANES;
}

INLINE void update_vector(const Update *u, const float *gradient, float *w_, float *s0, float *s1) {
    vf w = LOAD(w_), g = FMA(SET(u->l2_twice), w, LOAD(gradient));
    w = SUB(w, MUL(MUL(w, SET(u->decay)), SET(u->rate)));
    const vf rate = SET(u->rate);
    vf m, v;
    switch (u->kind) {
    case SGD:
        w = SUB(w, MUL(g, rate));
        break;
    case SGD_MOMENTUM:
        m = SUB(MUL(LOAD(s0), SET(u->momentum)), MUL(g, rate));
        STORE(s0, m);
        w = ADD(w, m);
        break;
    case SGD_NESTEROV:
        m = SUB(MUL(LOAD(s0), SET(u->momentum)), MUL(g, rate));
        STORE(s0, m);
        w = ADD(w, SUB(MUL(m, SET(u->momentum)), MUL(g, rate)));
        break;
    case ADAM:
        m = LOAD(s0), v = LOAD(s1);
        m = FMA(SUB(g, m), SET(u->learn_1), m);
        v = FMA(SUB(MUL(g, g), v), SET(u->learn_2), v);
        STORE(s0, m), STORE(s1, v);
        w = SUB(w, DIV(MUL(m, SET(u->alpha)), ADD(SQRT(v), SET(u->epsilon))));
        break;
    case RMSPROP:
    case RMSPROP_MOMENTUM:
        v = FMA(SET(u->rho), LOAD(s0), MUL(SET(u->keep_rho), MUL(g, g)));
        STORE(s0, v);
        m = DIV(MUL(rate, g), SQRT(ADD(v, SET(u->epsilon))));
        if (u->kind == RMSPROP_MOMENTUM) {
            m = FMA(SET(u->momentum), LOAD(s1), m);
            STORE(s1, m);
        }
        w = SUB(w, m);
        break;
    case ADAGRAD:
        v = FMA(g, g, LOAD(s0));
        STORE(s0, v);
        w = SUB(w, DIV(MUL(rate, g), SQRT(ADD(v, SET(u->epsilon)))));
        break;
    }
    STORE(w_, w);
}

/* An update in three stages, so that square roots and divisions overlap with products: call t runs
   the first stage of vector t, the second of t - 1 and the third of t - 2. */
typedef struct { vf root, shift, quotient; } Stages;

INLINE void adam_stage(const Pending *pending, int t, Stages *stages) {
    const Update *u = pending->update;
    if (t >= 2) {
        float *w_ = pending->w + pending_offset(pending, pending->at, t - 2);
        const vf w = LOAD(w_);
        STORE(w_, SUB(SUB(w, MUL(MUL(w, SET(u->decay)), SET(u->rate))), stages->quotient));
    }
    if (t >= 1 && t <= pending->count) {
        stages->quotient = DIV(stages->shift, ADD(stages->root, SET(u->epsilon)));
    }
    if (t < pending->count) {
        const long at = pending_offset(pending, pending->at, t);
        float *m_ = pending->slot[0] + at, *v_ = pending->slot[1] + at;
        const vf g = FMA(SET(u->l2_twice), LOAD(pending->w + at),
                         LOAD(pending->gradient + t * LANES));
        vf m = LOAD(m_), v = LOAD(v_);
        m = FMA(SUB(g, m), SET(u->learn_1), m);
        v = FMA(SUB(MUL(g, g), v), SET(u->learn_2), v);
        STORE(m_, m), STORE(v_, v);
        stages->shift = MUL(m, SET(u->alpha)), stages->root = SQRT(v);
    }
}

INLINE void update_stage(const Pending *pending, const int adam, int t, Stages *stages) {
    if (adam) {
        adam_stage(pending, t, stages);
    } else if (t < pending->count) {
        const long at = pending_offset(pending, pending->at, t);
        update_vector(pending->update, pending->gradient + t * LANES, pending->w + at,
                      pending->slot[0] + at, pending->slot[1] + at);
    }
}

/* Sum R rows by V vectors, and update the pending tile between the steps. Square roots and
   divisions take as long as products, but in execution units that products leave idle. */
INLINE void tile(const int R, const int V, const int adam, const Product *restrict c,
                 const Pending *pending, long next, vf sum[TILE_ROWS][TILE_VECTORS]) {
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) sum[r][v] = SET(0.0f);
    }
    const float *p = c->p, *q = c->q;
    const int stages_left = pending && pending->count ? pending->count + 2 : 0;
    Stages stages = {SET(0.0f), SET(0.0f), SET(0.0f)};
    int t = 0;
    for (long block = 0; block < c->blocks; block++) {
        const long steps = block == c->blocks - 1 ? c->last : c->n;
        const float *pn = p, *qn = q;
        for (long n = 0; n < steps; n++) {
            vf row[TILE_VECTORS];
            UNROLL for (int v = 0; v < V; v++) row[v] = LOAD(qn + v * LANES);
            UNROLL for (int r = 0; r < R; r++) {
                const vf factor = SET(pn[r * c->p_row]);
                UNROLL for (int v = 0; v < V; v++) sum[r][v] = FMA(factor, row[v], sum[r][v]);
            }
            pn += c->p_step, qn += c->q_step;
            if (pending && t < stages_left) {
                const long ahead = pending_offset(pending, next, t);
                __builtin_prefetch(pending->w + ahead);
                __builtin_prefetch(pending->slot[0] + ahead);
                __builtin_prefetch(pending->slot[1] + ahead);
                update_stage(pending, adam, t++, &stages);
            }
        }
        p += c->p_block, q += c->q_block;
    }
    while (pending && t < stages_left) update_stage(pending, adam, t++, &stages);
}

/* Compute one tile of the plain product: add bias[i] and store C. */
INLINE void store_tile(const int R, const int V, const Product *c, const float *bias, float *out,
                       long out_row) {
    vf sum[TILE_ROWS][TILE_VECTORS];
    tile(R, V, 0, c, NULL, 0, sum);
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) {
            vf s = bias ? ADD(sum[r][v], SET(bias[r])) : sum[r][v];
            STORE(out + r * out_row + v * LANES, s);
        }
    }
}

/* Compute one tile of gradients, and leave it pending while updating the tile before. */
INLINE void update_tile(const int R, const int V, const Product *c, Pending *pending, long at) {
    vf sum[TILE_ROWS][TILE_VECTORS];
    if (pending->update->kind == ADAM) tile(R, V, 1, c, pending, at, sum);
    else tile(R, V, 0, c, pending, at, sum);
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) STORE(pending->gradient + (r * V + v) * LANES, sum[r][v]);
    }
    pending->at = at, pending->shift = V == 4 ? 2 : V - 1, pending->count = R * V;
}

static void update_rest(Pending *pending) {
    Stages stages = {SET(0.0f), SET(0.0f), SET(0.0f)};
    const int adam = pending->update->kind == ADAM;
    for (int t = 0; t < pending->count + 2; t++) {
        if (adam) update_stage(pending, 1, t, &stages);
        else update_stage(pending, 0, t, &stages);
    }
}

#define ROWS_CASES(call)                                                                        \
    switch (rows) {                                                                             \
    case 1: call(1); break;                                                                     \
    case 2: call(2); break;                                                                     \
    case 3: call(3); break;                                                                     \
    case 4: call(4); break;                                                                     \
    case 5: call(5); break;                                                                     \
    case 6: call(6); break;                                                                     \
    MORE_CASES(call)                                                                            \
    }
#if TILE_ROWS == 12
#define MORE_CASES(call)                                                                        \
    case 7: call(7); break;                                                                     \
    case 8: call(8); break;                                                                     \
    case 9: call(9); break;                                                                     \
    case 10: call(10); break;                                                                   \
    case 11: call(11); break;                                                                   \
    case 12: call(12); break;
#else
#define MORE_CASES(call)
#endif

static void store_rows(int rows, int whole, const Product *c, const float *bias, float *out,
                       long out_row) {
#define WHOLE(R) store_tile(R, TILE_VECTORS, c, bias, out, out_row)
#define HALF(R) store_tile(R, TILE_VECTORS / 2, c, bias, out, out_row)
    if (whole) {
        ROWS_CASES(WHOLE)
    } else {
        ROWS_CASES(HALF)
    }
#undef WHOLE
#undef HALF
}

static void update_rows(int rows, int whole, const Product *c, Pending *pending, long at) {
#define WHOLE(R) update_tile(R, TILE_VECTORS, c, pending, at)
#define HALF(R) update_tile(R, TILE_VECTORS / 2, c, pending, at)
    if (whole) {
        ROWS_CASES(WHOLE)
    } else {
        ROWS_CASES(HALF)
    }
#undef WHOLE
#undef HALF
}

#define TILE_COLUMNS (LANES * TILE_VECTORS)

/* Return the next tile's rows if `left` remain; all tiles get about the same height. */
static inline int tile_rows(long left, long most) {
    long tiles = (left + most - 1) / most;
    return (int)((left + tiles - 1) / tiles);
}

/* out[panel][i][PANEL] = bias[i] + sum over n of P(i, n) * q[panel][n][PANEL], for `rows` columns. */
typedef struct {
    const float *p;
    long p_row, p_step, i_count;
    const float *q;
    long n, rows;
    const float *bias;
    float *out;
} PanelsProduct;

static void panels_part(const void *work, long i, long end) {
    const PanelsProduct *c = work;
    while (i < end) {
        const int height = tile_rows(end - i, TILE_ROWS);
        for (long first = 0; first < c->rows; first += PANEL) {
            const long panel = first / PANEL, columns = padded(MIN_LONG(c->rows - first, PANEL), 16);
            for (long j = 0; j < columns; j += TILE_COLUMNS) {
                const Product tile = {c->p + i * c->p_row, c->p_row, c->p_step,
                                      c->q + panel * c->n * PANEL + j, PANEL, c->n, 1, 0, 0, c->n};
                store_rows(height, columns - j >= TILE_COLUMNS, &tile,
                           c->bias ? c->bias + i : NULL,
                           c->out + (panel * c->i_count + i) * PANEL + j, PANEL);
            }
        }
        i += height;
    }
}

static void panels_product(Team *team, PanelsProduct c) {
    share(team, panels_part, &c, c.i_count, TILE_ROWS, (double)c.i_count * c.n * c.rows);
}
