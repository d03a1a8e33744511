#pragma once
#include "narrow_floats.h"
