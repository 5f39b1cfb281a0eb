"""Requests to a store: repeated after a failure, and a one-line error if that does not help.

Every read, listing and upload goes through `ask`. A store's own library may try again by itself, for some failures; what it gives up on is
tried here.
"""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from superbatch.errors import UserError
from superbatch.extras import require_packages
from superbatch.stores.kinds import EXTRAS, PACKAGES, RENEW, SIGN_IN, kind_of, prepare

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")
log = logging.getLogger(__name__)
ATTEMPTS = 6
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds: twice as long each time
AGAIN = "give the same command again"
# Error codes of S3 and its like, names of exceptions of the stores' libraries, of the system's errors, and what `_in_words` finds.
EXPIRED = {
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "InvalidToken",
    "UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError", "RefreshError", "401",
}  # fmt: skip
NONE_FOUND = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound", "DefaultCredentialsError",
    "LocalTokenNotFoundError", "Anonymous",
}  # fmt: skip
NOT_ACCEPTED = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}
GATED = {"GatedRepoError", "DisabledRepoError"}
REFUSED = {"AccessDenied", "PermissionError", "AllAccessDisabled", "AccountProblem", "403"}
NO_REPOSITORY = {"RepositoryNotFoundError", "BucketNotFoundError"}
NO_REVISION = {"RevisionNotFoundError"}
NO_BUCKET = {"NoSuchBucket", "InvalidBucketName"}
NOT_THERE = {"NoSuchKey", "FileNotFoundError", "IsADirectoryError", "EntryNotFoundError", "404"}
ENDS_BEFORE = {"InvalidRange", "416"}
OFFLINE = {"OfflineModeIsEnabled"}
PAYS = {"RequesterPays"}
NO_ROOM = {"ENOSPC", "EDQUOT"}
NOT_TAKEN = {"HfUriError", "HFValidationError", "BadRequest", "NotImplementedError"}
ANONYMOUS, FORBIDDEN, REQUESTER_PAYS, BAD_PATTERN = "Anonymous caller", "Forbidden", "requester pays", "Invalid pattern"
LIBRARIES = {
    "botocore", "aiobotocore", "s3fs", "aiohttp", "gcsfs", "google", "huggingface_hub", "requests", "httpx", "httpx2",
    "urllib3", "fsspec", "adlfs", "azure",
}  # fmt: skip


def ask(url: str, question: Callable[[AbstractFileSystem, str], T], setting: str = "") -> T:
    """Ask the store of an address, and again where it fails for a while.

    Args:
        url: the address; messages name it.
        question: of the file system and the path in it; it may be asked several times.
        setting: where the address stands in the parameters, for messages.

    Raises:
        UserError: nothing is there; no right to it, or credentials that are missing or expired; a store that stays out of reach; a package
            that is missing.
    """
    files, path = filesystem(url, setting)
    where = f"{setting}: {url}" if setting else url
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return question(files, path)
        except Exception as failure:
            error = _with_reason(failure, files, path)
            told = _told(where, url, error)
            if told is not None:
                raise told from None
            if not _may_pass(error):
                raise error from None
            if attempt == ATTEMPTS:
                what = f"can't be reached: {ATTEMPTS} attempts failed, the last with {_words(error)}"
                raise UserError(where, what, f"see to the network and the store, and {AGAIN}") from None
            _wait(url, attempt, error)
    raise AssertionError("the last attempt returns or raises")


def filesystem(url: str, setting: str = "") -> tuple[AbstractFileSystem, str]:
    """Return the file system of an address, and the path in it. It keeps no listings: they would hide that an object changed.

    Raises:
        UserError: a protocol that nobody knows, or whose package is missing.
    """
    from fsspec.core import url_to_fs

    kind = kind_of(url)
    prepare(kind)
    try:
        files, path = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        require_packages(setting or url, EXTRAS.get(kind, ""), *filter(None, [PACKAGES.get(kind)]))
        what = f"{url.partition('://')[0]}:// needs a package that can't be imported ({_words(error)})"
        raise UserError(setting or url, what, "install it") from None
    except ValueError as error:
        raise UserError(setting or url, _words(error), "use s3://, gs://, hf:// or another that fsspec knows") from None
    return files, str(path)


def _told(where: str, url: str, error: Exception) -> UserError | None:
    """Return a UserError for what another attempt can't fix; None for anything else."""
    if isinstance(error, UserError):
        return error
    names = set(_names(error))
    found = next((told for known, *told in _sayings(kind_of(url), _words(error)) if names & known), None)
    return UserError(where, *found) if found else None


def _sayings(kind: str, words: str) -> list[tuple[set[str], str, str]]:
    """List what can be said of errors in a store of a kind, the first that fits first: names, what is wrong, remedy."""
    renew, sign_in = (by.get(kind, "see to the credentials of this store") for by in (RENEW, SIGN_IN))
    ask_owner = "ask its owner for the right, or use other credentials"
    return [
        (OFFLINE, "HF_HUB_OFFLINE is set, so the hub is not asked", "unset it"),
        (GATED, f"access is refused ({words})", ask_owner),
        (NO_REPOSITORY, "there is no such repository, or it is private", f"correct the address, or {sign_in}"),
        (NO_REVISION, "its repository has no such revision", "correct what stands after @"),
        (NONE_FOUND, "no credentials for this store were found", sign_in),
        (EXPIRED, f"the credentials have expired ({words})", f"{renew}, and {AGAIN}"),
        (NOT_ACCEPTED, f"the credentials are not accepted ({words})", sign_in),
        (NO_BUCKET, f"there is no such bucket ({words})", "correct the address, or the region"),
        (REFUSED, f"access is refused ({words})", ask_owner),
        (ENDS_BEFORE, "is shorter than it was", "put the object back, or run the ingest stage again"),
        (NOT_THERE, "no such object", "correct the address, or put the object back"),
        (PAYS, "who reads this bucket pays for it", "set FSSPEC_GS_REQUESTER_PAYS to the project that pays"),
        (NO_ROOM, f"there is no room left ({words})", f"make room there, and {AGAIN}"),
        (NOT_TAKEN, f"the store does not take this address ({words})", "correct it"),
    ]


def _names(error: BaseException | None) -> Iterator[str]:
    """Yield error codes and names of classes of an error, and of the one that it was raised from."""
    while error is not None:
        yield from (kind.__name__ for kind in type(error).__mro__)
        yield from _in_words(error)
        yield errno.errorcode.get(getattr(error, "errno", None) or 0, "")
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            yield str(response.get("Error", {}).get("Code", ""))
        yield str(getattr(response, "status_code", getattr(error, "status", getattr(error, "code", ""))))
        error = error.__cause__


def _in_words(error: BaseException) -> Iterator[str]:
    """Yield codes for what gcsfs says in words alone."""
    words = str(error)
    if ANONYMOUS in words:
        yield "Anonymous"
    if type(error) is OSError and words.startswith(FORBIDDEN):
        yield "403"
    if type(error) is ValueError and not words.startswith(BAD_PATTERN):
        yield "RequesterPays" if REQUESTER_PAYS in words else "BadRequest"
    if type(error).__name__ == "HttpError" and getattr(error, "code", None) == 400:
        yield "BadRequest"


def _may_pass(error: Exception) -> bool:
    """Whether an error is a store's or the network's, and not a mistake of ours."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in LIBRARIES


def _words(error: BaseException) -> str:
    words = getattr(error, "server_message", None) or str(error)  # the hub's own words, without what its library adds
    return " ".join(words.split()) or type(error).__name__


def _wait(url: str, attempt: int, error: Exception) -> None:
    seconds = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.8, 1.2)
    level = logging.INFO if attempt < 3 else logging.WARNING
    log.log(level, "%s: attempt %s of %s failed (%s)", url, attempt, ATTEMPTS, _words(error))
    time.sleep(seconds)


def _with_reason(error: Exception, files: AbstractFileSystem, path: str) -> Exception:
    """Return an error that says why, if a store's answer has no text: HTTP sends none for HEAD, but does for reading one byte."""
    wordless = isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno == errno.EINVAL)
    if not wordless:
        return error
    try:
        files.cat_file(path, start=0, end=1)
    except FileNotFoundError:
        return error
    except Exception as reason:
        return reason
    return error
