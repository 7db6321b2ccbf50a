/* What memory.h takes of Python, for a program without it. */
#ifndef PYTHON_H
#define PYTHON_H

#include <stdlib.h>

#define PyObject_HEAD
typedef struct { const void *buf; long len; } Py_buffer;
static void *PyErr_NoMemory(void) { abort(); }
static int PyErr_Occurred(void) { return 0; }

#endif
