/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "zie-backend.h"

extern const ZieBackendFuncs zie_ref_backend_funcs;
