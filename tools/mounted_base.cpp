// SPDX-License-Identifier: Apache-2.0
#include "mounted_base.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fuse/names.h"
#include "fuse/server.h"
#include "text.h"

namespace snap::tool {
namespace {

std::optional<Digest> from_hex(std::string_view text) {
  Digest digest;
  if (text.size() != 2 * digest.bytes.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
    const char* const end = text.data() + 2 * i + 2;
    const auto read = std::from_chars(end - 2, end, digest.bytes[i], 16);
    if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  }
  return digest;
}

}  // namespace

std::optional<Digest> digest_in_view(const std::string& directory) {
  char server[32];
  if (::getxattr(directory.c_str(), view::kServerAttribute, server, sizeof server) <= 0) return std::nullopt;
  const std::string path = directory + "/info.json";
  std::ifstream file(path);
  const auto info = nlohmann::json::parse(file, nullptr, false);
  if (!info.is_object() || !info.contains("digest") || !info["digest"].is_string()) {
    throw Failure{kExitIo, fmt::format("{}: is a view, but no snapshot's folder: there is no {}", printable(directory), printable(path))};
  }
  return from_hex(info["digest"].get<std::string>());
}

BaseStore::Memory memory_in_view(const std::string& directory, const RegionInfo& region, std::size_t number) {
  const std::string path = std::filesystem::absolute(directory + "/regions/" + view::file_name(region.name, number)).lexically_normal().string();
  BaseStore::Memory memory{Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), path, false};
  struct stat status {};
  if (memory.fd.get() < 0 || ::fstat(memory.fd.get(), &status) != 0) fail_errno(path, "cannot open");
  if (static_cast<std::uint64_t>(status.st_size) != region.size) {
    throw Failure{kExitIo, fmt::format("{}: has {} bytes, not the {} of the base's memory", printable(path), status.st_size, region.size)};
  }
  return memory;
}

}  // namespace snap::tool
