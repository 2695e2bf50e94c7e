// SPDX-License-Identifier: Apache-2.0
// A child without its parent: what it says of itself, and no content.
#pragma once

#include <memory>

#include "read/image.h"

namespace snap {

Result<std::unique_ptr<Reader>> make_bare_reader(std::unique_ptr<Image> image);

}  // namespace snap
