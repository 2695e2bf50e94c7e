// SPDX-License-Identifier: Apache-2.0
// What the kernel asks, and what it is told.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>

#include "server_impl.h"

namespace snap::view {

namespace {

// What a snapshot has never changes. What is on the shelf may.
constexpr double kForeverSeconds = 86400;
constexpr double kShelfSeconds = 1;

mode_t type_of(NodeKind kind) {
  switch (kind) {
    case NodeKind::kFile:
    case NodeKind::kSameFile: return S_IFREG;
    case NodeKind::kLink: return S_IFLNK;
    default: return S_IFDIR;
  }
}

double attribute_seconds(const Place& place) {
  const File* const file = place.tree ? place.tree->node(place.node).file.get() : nullptr;
  return file != nullptr && file->grows() ? 0 : kForeverSeconds;
}

}  // namespace

void ServerImpl::init(void*, fuse_conn_info* connection) {
  connection->max_write = kMostRead;  // gives the number of pages of a request, reads included
  connection->max_read = kMostRead;
  connection->max_background = 64;
  connection->congestion_threshold = 48;
  // An open that truncates would have the kernel drop its pages, copies of private mappings among them, before it asked about anything else.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_ATOMIC_O_TRUNC);
  connection->want |= connection->capable & (FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_CACHE_SYMLINKS);
}

void ServerImpl::lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const Place folder = inodes_.find(parent);
  if (folder.tree) {
    reply_lookup(request, folder, child(folder, name));
  } else if (opener_) {
    ask_shelf(request, name);
  } else {
    fuse_reply_err(request, ENOENT);
  }
}

void ServerImpl::reply_lookup(fuse_req_t request, const Place& folder, const Place& found) {
  if (!found.tree) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = inodes_.remember(found);
  entry.attr = attributes(entry.ino, found);
  entry.entry_timeout = folder.tree ? kForeverSeconds : kShelfSeconds;
  entry.attr_timeout = attribute_seconds(found);
  if (fuse_reply_entry(request, &entry) != 0) inodes_.forget(entry.ino, 1);
}

void ServerImpl::getattr(fuse_req_t request, fuse_ino_t inode) {
  const Place place = inodes_.find(inode);
  if (!place.tree && inode != Inodes::kRoot) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  const struct stat status = attributes(inode, place);
  fuse_reply_attr(request, &status, attribute_seconds(place));
}

void ServerImpl::readlink(fuse_req_t request, fuse_ino_t inode) {
  const Place place = inodes_.find(inode);
  fuse_reply_readlink(request, place.tree ? place.tree->node(place.node).target.c_str() : "");
}

// To be made ready, a file may take reading all memory.
void ServerImpl::open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  const Place place = inodes_.find(inode);
  if (!place.tree || !place.tree->node(place.node).file) {
    fuse_reply_err(request, EISDIR);
  } else if ((info->flags & O_TRUNC) != 0) {
    fuse_reply_err(request, EROFS);
  } else if (place.tree->node(place.node).file->ready()) {
    finish_open(request, place, *info);
  } else {
    slow_->then([this, request, place, asked = *info] {
      guarded(request, [&] { finish_open(request, place, asked); });
    });
  }
}

void ServerImpl::finish_open(fuse_req_t request, const Place& place, fuse_file_info info) {
  File& file = *place.tree->node(place.node).file;
  if (auto ready = file.prepare(); !ready) {
    log(*place.tree, ready.error());
    fuse_reply_err(request, EIO);
    return;
  }
  info.fh = files_.keep(std::make_unique<Handle>(place, file));
  info.keep_cache = 1;
  info.direct_io = file.grows() ? 1 : 0;  // the kernel does not know where it ends
  if (fuse_reply_open(request, &info) != 0) files_.drop(info.fh);
}

// What nobody has open any more need not be decoded ahead.
void ServerImpl::release(fuse_req_t request, std::uint64_t handle) {
  const auto tree = Registry<Handle>::of(handle).place.tree;
  files_.drop(handle);
  fuse_reply_err(request, 0);
  try {
    if (tree != root_) prefetcher_->drop_closed(*tree);
  } catch (const std::bad_alloc&) {
    // Then it is decoded for nobody.
  }
}

void ServerImpl::prefetch(std::uint64_t inode, const std::shared_ptr<Tree>& tree, File& file) {
  if (!options_.prefetch) return;
  try {
    Source& source = tree->source();
    const bool has_another = tree == root_ && options_.working_set;
    prefetcher_->start(inode, tree, file, [this, &source, has_another] { return has_another ? *options_.working_set : source.working_set(); });
  } catch (const std::bad_alloc&) {
    // Then it is decoded when it is touched.
  }
}

void ServerImpl::read(fuse_req_t request, fuse_ino_t inode, std::size_t size, std::uint64_t offset, const Handle& handle) {
  thread_local Answer answer;
  if (!handle.was_read.exchange(true)) prefetch(inode, handle.place.tree, handle.file);
  if (options_.record && handle.place.tree == root_) {
    handle.file.shown(offset, size, [&](const Stretch& part) {
      const RegionInfo& region = root_->reader().regions()[part.region];
      if (region.kind == RegionKind::kMemory) touches_.note(part.region, region.size, part.offset, part.length);
    });
  }
  // Never less than was asked for: the kernel would take it for the end of the file. (It may also ask for its cache by a descriptor with O_DIRECT.)
  if (auto done = handle.file.read(offset, size, answer); !done) {
    log(*handle.place.tree, done.error());
    fuse_reply_err(request, EIO);
    return;
  }
  // Where the kernel did not take it the request is still to be answered, unless it is gone.
  if (fuse_reply_iov(request, answer.pieces().data(), static_cast<int>(answer.pieces().size())) == -EINVAL) log(options_.name + ": an answer was refused");
}

void ServerImpl::lseek(fuse_req_t request, std::uint64_t offset, int whence, const Handle& handle) {
  if (offset >= handle.file.size()) {
    fuse_reply_err(request, ENXIO);
    return;
  }
  const auto found = handle.file.next(offset, whence == SEEK_DATA);
  if (!found) {
    log(*handle.place.tree, found.error());
    fuse_reply_err(request, EIO);
  } else if (whence == SEEK_DATA && *found == handle.file.size()) {
    fuse_reply_err(request, ENXIO);
  } else {
    fuse_reply_lseek(request, static_cast<off_t>(*found));
  }
}

// A guest's balloon punches holes into the file that its memory is mapped from; it loses nothing when they are not made.
void ServerImpl::fallocate(fuse_req_t request, int mode, std::uint64_t offset, std::uint64_t length, const Handle& handle) {
  const bool harmless = mode == 0 || mode == FALLOC_FL_KEEP_SIZE || mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
  const std::uint64_t size = handle.file.size();
  const bool inside = offset <= size && length <= size - offset;
  fuse_reply_err(request, !harmless ? EOPNOTSUPP : inside || mode != 0 ? 0 : EROFS);
}

// What was written is in the kernel's cache already, and everybody would see it there: also after a refusal in what they have mapped.
void ServerImpl::write(fuse_req_t request, fuse_ino_t inode, std::size_t size, off_t offset, const fuse_file_info* info) {
  const bool mapped = info->writepage != 0;
  fuse_reply_err(request, EROFS);
  keeper_->invalidate(inode, offset, size);
  if (mapped) log(options_.name + ": somebody writes through a shared mapping, which is undone; QEMU needs share=off");
}

void ServerImpl::opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  const Place place = inodes_.find(inode);
  if (place.tree) {
    auto listing = std::make_unique<Listing>();
    for (const std::size_t child : place.tree->node(place.node).children) {
      const Node& node = place.tree->node(child);
      listing->add(node.name, type_of(node.kind));
    }
    reply_opendir(request, *info, std::move(listing));
  } else if (lister_) {
    lister_->then([this, request, asked = *info] {
      guarded(request, [&] {
        auto listing = std::make_unique<Listing>();
        for (std::string& name : shelf_->names()) listing->add(std::move(name), S_IFDIR);
        reply_opendir(request, asked, std::move(listing));
      });
    });
  } else {
    fuse_reply_err(request, ENOENT);
  }
}

void ServerImpl::reply_opendir(fuse_req_t request, fuse_file_info info, std::unique_ptr<Listing> listing) {
  info.fh = listings_.keep(std::move(listing));
  if (fuse_reply_open(request, &info) != 0) listings_.drop(info.fh);
}

void ServerImpl::readdir(fuse_req_t request, std::size_t size, std::size_t offset, const Listing& listing) {
  std::vector<char> text(std::min(size, kMostRead));
  std::size_t used = 0;
  for (std::size_t i = offset; i < listing.entries.size(); ++i) {
    struct stat status {};
    status.st_mode = listing.entries[i].type;
    status.st_ino = ~ino_t{0};  // it gets its number when it is looked up
    const std::size_t more =
        fuse_add_direntry(request, text.data() + used, text.size() - used, listing.entries[i].name.c_str(), &status, static_cast<off_t>(i + 1));
    if (more > text.size() - used) break;
    used += more;
  }
  fuse_reply_buf(request, text.data(), used);
}

void ServerImpl::statfs(fuse_req_t request) {
  struct statvfs status {};
  status.f_bsize = kPageBytes;
  status.f_frsize = kPageBytes;
  status.f_namemax = NAME_MAX;
  if (root_) {
    for (const RegionInfo& each : root_->reader().regions()) status.f_blocks += each.size / kPageBytes;
  }
  fuse_reply_statfs(request, &status);
}

void ServerImpl::getxattr(fuse_req_t request, const char* name, std::size_t size) {
  const std::string value = std::to_string(::getpid());
  if (std::strcmp(name, kServerAttribute) != 0) {
    fuse_reply_err(request, ENODATA);
  } else if (size == 0) {
    fuse_reply_xattr(request, value.size());
  } else if (size < value.size()) {
    fuse_reply_err(request, ERANGE);
  } else {
    fuse_reply_buf(request, value.data(), value.size());
  }
}

const fuse_lowlevel_ops& ServerImpl::operations() {
  static const fuse_lowlevel_ops table = [] {
    static constexpr auto as_handle = [](const fuse_file_info* info) -> const Handle& { return Registry<Handle>::of(info->fh); };
    fuse_lowlevel_ops ops{};
    ops.init = init;
    ops.lookup = [](fuse_req_t r, fuse_ino_t parent, const char* name) { guarded(r, [&] { of(r).lookup(r, parent, name); }); };
    ops.forget = [](fuse_req_t r, fuse_ino_t inode, std::uint64_t times) {
      of(r).forget(inode, times);
      fuse_reply_none(r);
    };
    ops.forget_multi = [](fuse_req_t r, std::size_t count, fuse_forget_data* all) {
      for (std::size_t i = 0; i < count; ++i) of(r).forget(all[i].ino, all[i].nlookup);
      fuse_reply_none(r);
    };
    ops.getattr = [](fuse_req_t r, fuse_ino_t inode, fuse_file_info*) { guarded(r, [&] { of(r).getattr(r, inode); }); };
    ops.setattr = [](fuse_req_t r, fuse_ino_t, struct stat*, int, fuse_file_info*) { fuse_reply_err(r, EROFS); };
    ops.readlink = [](fuse_req_t r, fuse_ino_t inode) { guarded(r, [&] { of(r).readlink(r, inode); }); };
    ops.open = [](fuse_req_t r, fuse_ino_t inode, fuse_file_info* info) { guarded(r, [&] { of(r).open(r, inode, info); }); };
    ops.read = [](fuse_req_t r, fuse_ino_t inode, std::size_t size, off_t offset, fuse_file_info* info) {
      guarded(r, [&] { of(r).read(r, inode, size, static_cast<std::uint64_t>(offset), as_handle(info)); });
    };
    ops.write = [](fuse_req_t r, fuse_ino_t inode, const char*, std::size_t size, off_t offset, fuse_file_info* info) {
      try {
        of(r).write(r, inode, size, offset, info);
      } catch (const std::bad_alloc&) {
        // It has its answer; the page goes when the next is written.
      }
    };
    ops.release = [](fuse_req_t r, fuse_ino_t, fuse_file_info* info) { of(r).release(r, info->fh); };
    ops.fsync = [](fuse_req_t r, fuse_ino_t, int, fuse_file_info*) { fuse_reply_err(r, 0); };
    ops.opendir = [](fuse_req_t r, fuse_ino_t inode, fuse_file_info* info) { guarded(r, [&] { of(r).opendir(r, inode, info); }); };
    ops.readdir = [](fuse_req_t r, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
      guarded(r, [&] { of(r).readdir(r, size, static_cast<std::size_t>(offset), Registry<Listing>::of(info->fh)); });
    };
    ops.releasedir = [](fuse_req_t r, fuse_ino_t, fuse_file_info* info) {
      of(r).listings_.drop(info->fh);
      fuse_reply_err(r, 0);
    };
    ops.statfs = [](fuse_req_t r, fuse_ino_t) { of(r).statfs(r); };
    ops.getxattr = [](fuse_req_t r, fuse_ino_t, const char* name, std::size_t size) { getxattr(r, name, size); };
    ops.lseek = [](fuse_req_t r, fuse_ino_t, off_t offset, int whence, fuse_file_info* info) {
      guarded(r, [&] { of(r).lseek(r, static_cast<std::uint64_t>(offset), whence, as_handle(info)); });
    };
    ops.fallocate = [](fuse_req_t r, fuse_ino_t, int mode, off_t offset, off_t length, fuse_file_info* info) {
      of(r).fallocate(r, mode, static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length), as_handle(info));
    };
    return ops;
  }();
  return table;
}

}  // namespace snap::view
