// SPDX-License-Identifier: Apache-2.0
// The reader of a snapshot that is a difference.
#pragma once

#include <memory>

#include "read/image.h"
#include "snap/reader.h"

namespace snap {

/// `parent` was verified to be the one that the image names, and outlives the reader.
Result<std::unique_ptr<Reader>> make_child_reader(std::unique_ptr<Image> image, Reader& parent, std::size_t cache_bytes);

}  // namespace snap
