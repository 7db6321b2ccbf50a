/* The Python object of a network, which owns its memory. */
#pragma once

#include <Python.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

#define ALIGNMENT 64
#define MAX_BLOCKS (MAX_LAYERS * (3 * PARTS + 6) + 18)

typedef struct {
    PyObject_HEAD
    Network *net;
    void *block[MAX_BLOCKS];
    int blocks, busy;
    const Kernels *kernels;
} NetworkObject;

/* Allocate zeroed floats, freed with the network; NULL with MemoryError. */
static float *floats(NetworkObject *self, size_t count) {
    const size_t size = (count * sizeof(float) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *block = NULL;
    if (self->blocks < MAX_BLOCKS) block = aligned_alloc(ALIGNMENT, size ? size : ALIGNMENT);
    if (!block) {
        PyErr_NoMemory();
        return NULL;
    }
    self->block[self->blocks++] = block;
    return memset(block, 0, size);
}

static float *copied(NetworkObject *self, const Py_buffer *from, size_t count) {
    float *to = floats(self, count);
    if (to) memcpy(to, from->buf, count * sizeof(float));
    return to;
}

/* Return the floats from row to row: at multiples of 512 bytes, rows would share few cache sets. */
static long row_length(long n) {
    const long ld = padded(n, 16);
    return ld % 128 ? ld : ld + 16;
}

static int is_matrix(int part) { return part == KERNEL || part == PROJECTION; }

static int has_part(const Layer *layer, int part) { return layer->parts >> part & 1; }

/* Check if a layer has the parts that its block needs, and no others. */
static int has_its_parts(const Layer *layer) {
    const unsigned moving = 1u << MOVING_MEAN | 1u << MOVING_VARIANCE;
    unsigned needed = 1u << KERNEL, allowed = needed | 1u << BIAS;
    if (is_normed(layer)) allowed |= 1u << GAMMA | 1u << BETA;
    if (is_batch_norm(layer)) needed |= moving, allowed |= moving;
    if (layer->block == RESIDUAL) allowed |= 1u << PROJECTION;
    if (layer->block == RESIDUAL && layer->in != layer->out) needed |= 1u << PROJECTION;
    return (layer->parts & needed) == needed && !(layer->parts & ~allowed);
}

static size_t part_size(const Layer *layer, int part) {
    return is_matrix(part) ? (size_t)layer->out * layer->ld : (size_t)padded(layer->out, 16);
}

static int make_layer(NetworkObject *self, Layer *layer, float slot_start) {
    const size_t rows = padded(self->net->capacity, PANEL), out = layer->out;
    for (int part = 0; part < PARTS; part++) {
        if (!has_part(layer, part)) continue;
        Array *array = &layer->part[part];
        const size_t size = part_size(layer, part);
        array->value = floats(self, size);
        for (int s = 0; s < 2; s++) array->slot[s] = floats(self, size);
        if (PyErr_Occurred()) return -1;
        for (size_t i = 0; i < size; i++) array->slot[0][i] = slot_start;
    }
    /* Add room for 16 units: the last block of a transposition reads beyond the end. */
    layer->at = floats(self, rows * out + 16 * PANEL), layer->ft = floats(self, rows * out);
    layer->ar = floats(self, rows * row_length(out));
    if (layer->block == BATCH_NORM_BEHIND) layer->mask = floats(self, rows * out);
    if (is_normed(layer)) {
        layer->normal = floats(self, rows * out);
        layer->scale = floats(self, rows > out ? rows : out);
    }
    return PyErr_Occurred() ? -1 : 0;
}

static int make_buffers(NetworkObject *self) {
    Network *net = self->net;
    size_t widest = net->n_features;
    for (int l = 0; l < net->layers; l++) {
        if ((size_t)net->layer[l].out > widest) widest = net->layer[l].out;
    }
    const size_t rows = padded(net->capacity, PANEL);
    net->xr = floats(self, rows * net->ld_in), net->xt = floats(self, rows * net->n_features);
    net->yr = floats(self, 16 * row_length(net->outputs)), net->yt = floats(self, rows * net->outputs);
    for (int d = 0; d < 3; d++) net->delta[d] = floats(self, rows * widest + 16 * PANEL);
    net->scratch = floats(self, rows * widest);
    net->rows = floats(self, 3 * rows + PANEL);
    for (int u = 0; u < 3; u++) net->units[u] = floats(self, padded(widest, 16));
    net->capacity = (int)rows;
    return PyErr_Occurred() ? -1 : 0;
}
