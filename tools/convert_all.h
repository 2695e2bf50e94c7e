// SPDX-License-Identifier: Apache-2.0
// All snapshots of an old image at once.
#pragma once

#include "convert.h"
#include "open.h"

namespace snap::tool {

/// Into the directory args.destination: the first as the others' parent, or all of them against args.parent.
int convert_all(Input& image, const ConvertArgs& args);

}  // namespace snap::tool
