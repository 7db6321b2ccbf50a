/* The Python module: networks, and the random numbers of their first weights. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "network.h"
#include "philox.h"

static const Kernels *const ENGINES[] = {
#if defined(__x86_64__)
    &kernels_avx512, &kernels_avx2,
#elif defined(__aarch64__)
    &kernels_neon,
#endif
    NULL};

static int runs_here(const Kernels *kernels) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (kernels == &kernels_avx512) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
    }
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return kernels != NULL;
#endif
}

static const Kernels *find_kernels(const char *name) {
    for (int e = 0; ENGINES[e]; e++) {
        if (runs_here(ENGINES[e]) && (!*name || !strcmp(name, ENGINES[e]->name))) return ENGINES[e];
    }
    PyErr_Format(PyExc_ValueError, "no kernels for %s on this processor", *name ? name : "at all");
    return NULL;
}

/* Read a layer's description (width, block, parts, activation, dropout, seed, l2, momentum,
   epsilon), and check that the kernels support it. */
static int describe_layer(PyObject *given, int in, int last, Layer *layer) {
    double dropout, l2, momentum, epsilon;
    layer->in = in;
    if (!PyTuple_Check(given)) {
        PyErr_SetString(PyExc_TypeError, "a layer is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(given, "iiIidIddd", &layer->out, &layer->block, &layer->parts,
                          &layer->activation, &dropout, &layer->mask_seed, &l2, &momentum,
                          &epsilon)) {
        return -1;
    }
    const int most = last ? DENSE : BLOCKS - 1;
    if (in < 1 || in > 1 << 24 || layer->out < 1 || layer->out > 1 << 24 ||
        !(dropout >= 0 && dropout < 1)) {
        PyErr_SetString(PyExc_ValueError, "a layer needs a width, and a dropout rate below 1");
        return -1;
    }
    if (layer->block < 0 || layer->block > most || layer->activation < 0 ||
        layer->activation >= ACTIVATIONS || !has_its_parts(layer)) {
        PyErr_SetString(PyExc_ValueError, "no such block, activation or parts of a layer");
        return -1;
    }
    layer->ld = row_length(in), layer->l2_twice = (float)(2 * l2);
    layer->dropout = (float)dropout, layer->kept = (float)(1 / (1 - dropout));
    layer->keep = (float)momentum, layer->learn = (float)(1 - momentum);
    layer->epsilon = (float)epsilon;
    return 0;
}

static int make_layers(NetworkObject *self, int features, PyObject *layers, float slot_start) {
    Network *net = self->net;
    const Py_ssize_t count = PyTuple_Size(layers);
    if (count < 1 || count > MAX_LAYERS) {
        PyErr_Format(PyExc_ValueError, "a network has 1 to %d layers", MAX_LAYERS);
        return -1;
    }
    net->layers = (int)count;
    for (Py_ssize_t l = 0; l < count; l++) {
        Layer *layer = &net->layer[l];
        PyObject *given = PyTuple_GetItem(layers, l);
        const int in = l ? net->layer[l - 1].out : features;
        if (describe_layer(given, in, l == count - 1, layer) < 0) return -1;
        if (make_layer(self, layer, slot_start) < 0) return -1;
    }
    net->n_features = features, net->ld_in = net->layer[0].ld;
    net->outputs = net->layer[count - 1].out;
    return 0;
}

/* Network(kernels, features, layers, (batch, binned, loss, rows, optimizer), (rate, decay,
   momentum, rho, beta_1, beta_2, epsilon, slot start, huber), shift, scale, unit) */
static int network_init(NetworkObject *self, PyObject *args, PyObject *kwargs) {
    const char *name;
    PyObject *layers;
    Py_buffer shift, scale, unit;
    int features, batch, binned, loss, rows, optimizer;
    double rate, decay, momentum, rho, beta_1, beta_2, epsilon, start, huber;
    if (kwargs && PyDict_Size(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Network takes no keyword arguments");
        return -1;
    }
    if (self->net) {
        PyErr_SetString(PyExc_RuntimeError, "a Network is made once");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "siO!(iiiii)(ddddddddd)y*y*y*", &name, &features, &PyTuple_Type,
                          &layers, &batch, &binned, &loss, &rows, &optimizer, &rate, &decay,
                          &momentum, &rho, &beta_1, &beta_2, &epsilon, &start, &huber, &shift,
                          &scale, &unit)) {
        return -1;
    }
    int made = -1;
    self->kernels = find_kernels(name);
    if (!self->kernels) goto done;
    if (batch < 1 || batch > 1 << 24 || loss < 0 || loss >= LOSSES || rows < 0 ||
        rows >= ROW_KINDS || optimizer < 0 || optimizer >= OPTIMIZERS) {
        PyErr_SetString(PyExc_ValueError, "no such batch, loss, rows or optimizer");
        goto done;
    }
    Network *net = self->net = calloc(1, sizeof(Network));
    if (!net) {
        PyErr_NoMemory();
        goto done;
    }
    net->threads = 1, net->batch = batch, net->loss = loss, net->row_kind = rows;
    net->huber = (float)huber;
    net->capacity = batch > 4 * PANEL ? batch : 4 * PANEL;
    net->update = (Update){
        .kind = optimizer, .rate = (float)rate, .decay = (float)decay,
        .momentum = (float)momentum, .rho = (float)rho, .keep_rho = (float)(1 - rho),
        .beta_1 = (float)beta_1, .beta_2 = (float)beta_2, .learn_1 = (float)(1 - beta_1),
        .learn_2 = (float)(1 - beta_2), .epsilon = (float)epsilon};
    if (make_layers(self, features, layers, (float)start) < 0) goto done;
    if (make_buffers(self) < 0) goto done;
    if (binned < 0 || binned > features / BINS || (binned && rows != FLOAT_ROWS)) {
        PyErr_SetString(PyExc_ValueError, "no such number of binned features");
        goto done;
    }
    net->binned = binned, net->n_raw = features - (BINS - 1) * binned;
    const Py_ssize_t numbers = sizeof(float) * (binned ? BINS : net->n_features);
    if ((binned || rows != FLOAT_ROWS) && (shift.len != numbers || scale.len != numbers)) {
        PyErr_SetString(PyExc_ValueError, "shift and scale need a float32 a feature or bin");
        goto done;
    }
    if (has_units(net) && (size_t)unit.len != sizeof(float) * net->outputs) {
        PyErr_SetString(PyExc_ValueError, "unit needs a float32 an output");
        goto done;
    }
    net->shift = copied(self, &shift, shift.len / sizeof(float));
    net->scale = copied(self, &scale, scale.len / sizeof(float));
    net->unit = copied(self, &unit, unit.len / sizeof(float));
    made = PyErr_Occurred() ? -1 : 0;
done:
    if (made < 0) free(self->net), self->net = NULL;
    PyBuffer_Release(&shift), PyBuffer_Release(&scale), PyBuffer_Release(&unit);
    return made;
}

static void network_dealloc(NetworkObject *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int b = 0; b < self->blocks; b++) free(self->block[b]);
    free(self->net);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static int is_ready(NetworkObject *self) {
    if (!self->net) PyErr_SetString(PyExc_RuntimeError, "the Network was not made");
    else if (self->busy) PyErr_SetString(PyExc_RuntimeError, "another thread uses this Network");
    return !PyErr_Occurred();
}

/* Return a part's values (`which` 0) or its optimizer arrays (1, 2). */
static float *numbers_of(NetworkObject *self, int layer, int part, int which, size_t length,
                         Layer **found) {
    Network *net = self->net;
    if (layer >= 0 && layer < net->layers && part >= 0 && part < PARTS && which >= 0 && which < 3 &&
        net->layer[layer].part[part].value) {
        Layer *l = *found = &net->layer[layer];
        const size_t expected = is_matrix(part) ? (size_t)l->in * l->out : (size_t)l->out;
        if (length == expected * sizeof(float)) {
            return which ? l->part[part].slot[which - 1] : l->part[part].value;
        }
    }
    PyErr_SetString(PyExc_ValueError, "no such layer or part, or another shape than its");
    return NULL;
}

/* Copy a float32 array into or out of the network; matrices have Keras' shape `[in][out]`. */
static PyObject *move_numbers(NetworkObject *self, PyObject *args, int into) {
    int layer, part, which;
    Py_buffer buffer;
    Layer *found = NULL;
    if (!is_ready(self)) return NULL;
    if (!PyArg_ParseTuple(args, into ? "iiiy*" : "iiiw*", &layer, &part, &which, &buffer)) {
        return NULL;
    }
    float *own = numbers_of(self, layer, part, which, buffer.len, &found), *other = buffer.buf;
    if (own) {
        const long in = is_matrix(part) ? found->in : 1, ld = is_matrix(part) ? found->ld : 1;
        for (long i = 0; i < in; i++) {
            for (long o = 0; o < found->out; o++) {
                float *inside = own + o * ld + i, *outside = other + i * found->out + o;
                if (into) *inside = *outside;
                else *outside = *inside;
            }
        }
    }
    PyBuffer_Release(&buffer);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *network_set(NetworkObject *self, PyObject *args) {
    return move_numbers(self, args, 1);
}

static PyObject *network_get(NetworkObject *self, PyObject *args) {
    return move_numbers(self, args, 0);
}

static PyObject *network_iterations(NetworkObject *self, void *closure) {
    (void)closure;
    return is_ready(self) ? PyLong_FromLongLong(self->net->iterations) : NULL;
}

static int network_set_iterations(NetworkObject *self, PyObject *value, void *closure) {
    (void)closure;
    const long long iterations = value && is_ready(self) ? PyLong_AsLongLong(value) : -1;
    if (PyErr_Occurred()) return -1;
    if (iterations < 0) {
        PyErr_SetString(PyExc_ValueError, "iterations cannot be negative");
        return -1;
    }
    self->net->iterations = iterations;
    return 0;
}

static PyObject *network_learning_rate(NetworkObject *self, void *closure) {
    (void)closure;
    return is_ready(self) ? PyFloat_FromDouble(self->net->update.rate) : NULL;
}

static int network_set_learning_rate(NetworkObject *self, PyObject *value, void *closure) {
    (void)closure;
    if (!value) PyErr_SetString(PyExc_TypeError, "learning_rate cannot be deleted");
    const double rate = value && is_ready(self) ? PyFloat_AsDouble(value) : 0;
    if (PyErr_Occurred()) return -1;
    self->net->update.rate = (float)rate;
    return 0;
}

static PyObject *network_threads(NetworkObject *self, void *closure) {
    (void)closure;
    return is_ready(self) ? PyLong_FromLong(self->net->threads) : NULL;
}

static int network_set_threads(NetworkObject *self, PyObject *value, void *closure) {
    (void)closure;
    const long threads = value && is_ready(self) ? PyLong_AsLong(value) : 0;
    if (PyErr_Occurred()) return -1;
    if (threads < 1 || threads > MAX_THREADS) {
        PyErr_Format(PyExc_ValueError, "threads is a number from 1 to %d", MAX_THREADS);
        return -1;
    }
    self->net->threads = (int)threads;
    return 0;
}

/* The buffers of an epoch or an evaluation; NULL if omitted. */
typedef struct { Py_buffer x, y, order, weights, outputs; } Buffers;

static void release(Buffers *b) {
    PyBuffer_Release(&b->x), PyBuffer_Release(&b->y), PyBuffer_Release(&b->order);
    PyBuffer_Release(&b->weights), PyBuffer_Release(&b->outputs);
}

/* Describe the buffers, after checking that they have the same number of whole rows. */
static int describe(const Network *net, const Buffers *b, Data *data) {
    const size_t width = row_size(net);
    const size_t outputs = sizeof(float) * net->outputs;
    const size_t target = net->loss == SOFTMAX_CROSSENTROPY ? sizeof(int32_t) : outputs;
    const long rows = (long)(b->x.len / width);
    *data = (Data){b->x.buf, b->y.buf, b->order.buf, b->weights.buf, b->outputs.buf, rows};
    int valid = !(b->x.len % width) && (size_t)b->y.len == rows * target;
    valid = valid && (!data->weights || (size_t)b->weights.len == rows * sizeof(float));
    valid = valid && (!data->outputs || (size_t)b->outputs.len == rows * outputs);
    if (!valid) {
        PyErr_SetString(PyExc_ValueError, "the arrays are not rows of this network");
        return 0;
    }
    valid = !data->order || (size_t)b->order.len == sizeof(int32_t) * rows;
    for (long r = 0; data->order && valid && r < rows; r++) {
        valid = data->order[r] >= 0 && data->order[r] < rows;
    }
    if (!valid) PyErr_SetString(PyExc_ValueError, "order is not one of the rows");
    return valid;
}

/* Run one of the kernels over the rows; other Python threads may run meanwhile. */
static PyObject *over_rows(NetworkObject *self, Sums (*run)(Network *, const Data *), Buffers *b,
                           PyObject *outputs) {
    Data data;
    Sums result = {0, 0};
    const int given = outputs && outputs != Py_None;
    if ((!given || !PyObject_GetBuffer(outputs, &b->outputs, PyBUF_WRITABLE)) &&
        describe(self->net, b, &data)) {
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        result = run(self->net, &data);
        Py_END_ALLOW_THREADS
        self->busy = 0;
    }
    release(b);
    return PyErr_Occurred() ? NULL : Py_BuildValue("(dd)", result.loss, result.metric);
}

static PyObject *network_train(NetworkObject *self, PyObject *args) {
    Buffers b = {{0}};
    PyObject *outputs = NULL;
    if (!is_ready(self)) return NULL;
    if (!PyArg_ParseTuple(args, "y*y*y*|z*O", &b.x, &b.y, &b.order, &b.weights, &outputs)) {
        return NULL;
    }
    return over_rows(self, self->kernels->train, &b, outputs);
}

static PyObject *network_evaluate(NetworkObject *self, PyObject *args) {
    Buffers b = {{0}};
    PyObject *outputs = NULL;
    if (!is_ready(self)) return NULL;
    if (!PyArg_ParseTuple(args, "y*y*|z*O", &b.x, &b.y, &b.weights, &outputs)) return NULL;
    return over_rows(self, self->kernels->evaluate, &b, outputs);
}

/* random(distribution, seed, out): the numbers of tf.random.stateless_* with seed [seed, 0]. */
static PyObject *random_numbers(PyObject *module, PyObject *args) {
    static void (*const fill[DISTRIBUTIONS])(uint64_t, uint64_t, float *, size_t) = {
        philox_uniform, philox_normal, philox_truncated};
    int distribution;
    unsigned long long seed;
    Py_buffer out;
    (void)module;
    if (!PyArg_ParseTuple(args, "iKw*", &distribution, &seed, &out)) return NULL;
    if (distribution < 0 || distribution >= DISTRIBUTIONS) {
        PyErr_SetString(PyExc_ValueError, "no such distribution");
    } else {
        fill[distribution](seed, 0, out.buf, out.len / sizeof(float));
    }
    PyBuffer_Release(&out);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* activation(kernels, kind, z, out, slope): outputs and derivatives of float32 arrays. */
static PyObject *activation(PyObject *module, PyObject *args) {
    const char *name;
    int kind;
    Py_buffer z, out, slope;
    (void)module;
    if (!PyArg_ParseTuple(args, "siy*w*w*", &name, &kind, &z, &out, &slope)) return NULL;
    const Kernels *kernels = find_kernels(name);
    if (kernels && (kind < 0 || kind >= ACTIVATIONS || out.len != z.len || slope.len != z.len)) {
        PyErr_SetString(PyExc_ValueError, "no such activation, or arrays of different lengths");
    } else if (kernels) {
        kernels->activate(kind, z.buf, out.buf, slope.buf, z.len / (long)sizeof(float));
    }
    PyBuffer_Release(&z), PyBuffer_Release(&out), PyBuffer_Release(&slope);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static PyObject *instruction_sets(PyObject *module, PyObject *args) {
    (void)module, (void)args;
    PyObject *names = PyList_New(0);
    for (int e = 0; names && ENGINES[e]; e++) {
        if (!runs_here(ENGINES[e])) continue;
        PyObject *name = PyUnicode_FromString(ENGINES[e]->name);
        if (!name || PyList_Append(names, name) < 0) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    return names;
}

static PyMethodDef network_methods[] = {
    {"set", (PyCFunction)network_set, METH_VARARGS, "set(layer, part, which, array)"},
    {"get", (PyCFunction)network_get, METH_VARARGS, "get(layer, part, which, array) fills array."},
    {"train", (PyCFunction)network_train, METH_VARARGS,
     "train(x, y, order, weights=None, outputs=None) -> sums of loss and metric over an epoch; "
     "fills outputs in the order of the rows seen."},
    {"evaluate", (PyCFunction)network_evaluate, METH_VARARGS,
     "evaluate(x, y, weights=None, outputs=None) -> sums of loss and metric; fills outputs."},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef network_properties[] = {
    {"iterations", (getter)network_iterations, (setter)network_set_iterations,
     "Updates so far.", NULL},
    {"learning_rate", (getter)network_learning_rate, (setter)network_set_learning_rate,
     "Of the next updates.", NULL},
    {"threads", (getter)network_threads, (setter)network_set_threads,
     "That share an epoch or an evaluation; the results are the same.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot network_slots[] = {{Py_tp_init, network_init},
                                      {Py_tp_new, PyType_GenericNew},
                                      {Py_tp_dealloc, network_dealloc},
                                      {Py_tp_methods, network_methods},
                                      {Py_tp_getset, network_properties},
                                      {Py_tp_doc, "A dense network in training."},
                                      {0, NULL}};

static PyType_Spec network_spec = {"hpsearch.native._native.Network", sizeof(NetworkObject), 0,
                                   Py_TPFLAGS_DEFAULT, network_slots};

static PyMethodDef functions[] = {
    {"random", random_numbers, METH_VARARGS,
     "random(distribution, seed, out): fills a float32 array with UNIFORM numbers in [0, 1), NORMAL "
     "or TRUNCATED normal ones, as tf.random.stateless_* does."},
    {"activation", activation, METH_VARARGS,
     "activation(kernels, kind, z, out, slope): fills out and slope with values and derivatives."},
    {"instruction_sets", instruction_sets, METH_NOARGS, "Names of the instruction sets of this processor that there are kernels for."},
    {NULL, NULL, 0, NULL}};

#define NAMED(name) {#name, name},
static const struct { const char *name; int value; } CONSTANTS[] = {
    ACTIVATION_KINDS(NAMED) OPTIMIZER_KINDS(NAMED) LOSS_KINDS(NAMED) ROW_FORMATS(NAMED)
    BLOCK_KINDS(NAMED) PART_KINDS(NAMED) DISTRIBUTION_KINDS(NAMED) NAMED(MAX_LAYERS) NAMED(MAX_THREADS)};

static int execute(PyObject *module) {
    for (size_t c = 0; c < sizeof CONSTANTS / sizeof *CONSTANTS; c++) {
        if (PyModule_AddIntConstant(module, CONSTANTS[c].name, CONSTANTS[c].value) < 0) return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &network_spec, NULL);
    if (!type) return -1;
    const int added = PyModule_AddObjectRef(module, "Network", type);
    Py_DECREF(type);
    return added;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "Dense networks trained without TensorFlow.", 0, functions,
    slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
