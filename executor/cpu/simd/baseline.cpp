// The loops for any processor of the architecture.
#define TPLAN_SIMD baseline
#include "executor/cpu/simd/set.h"
