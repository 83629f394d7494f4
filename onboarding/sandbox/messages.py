"""Texts of the reply codes, so that `msg` follows the `lang` header as the platform's own replies do.

Imports nothing of this project. Which module a code belongs to (`bizCode`) is read off its prefix.
"""

from __future__ import annotations

LANGUAGES = ("en", "zh", "es")

# code -> (English, Chinese). Spanish falls back to English, as an upstream without that translation would.
_TEXTS: dict[str, tuple[str, str]] = {
    "0": ("Success", "成功"),
    "500": ("System failure", "系统异常"),
    "F999999": ("Illegal request parameters", "请求参数非法"),
    "GATEWAY_CODE_001": ("Please log in first", "请先登录"),
    "GATEWAY_CODE_002": ("Unknown business type", "未知的业务类型"),
    "GATEWAY_CODE_003": ("The company id is missing", "公司编号不能为空"),
    "GATEWAY_CODE_004": ("The trace is missing", "追踪号不能为空"),
    "GATEWAY_CODE_005": ("The session has expired", "登录已过期"),
    "GATEWAY_CODE_006": ("The body is empty", "请求体不能为空"),
    "GATEWAY_CODE_009": ("A request header is missing", "请求头缺失"),
    "GATEWAY_CODE_010": ("The target interface does not exist", "目标接口不存在"),
    "GATEWAY_CODE_014": ("The request is too old", "请求已过期"),
    "GATEWAY_CODE_015": ("Illegal request parameters", "请求参数非法"),
    "GATEWAY_CODE_016": ("The request method is not supported", "请求方式不支持"),
    "GATEWAY_CODE_018": ("Operation too frequent, please try again later", "操作过于频繁，请稍后再试"),
    "GATEWAY_CODE_103": ("File type not allowed, only %s", "文件类型不允许，仅支持%s"),
    "GATEWAY_CODE_104": ("Parameters abnormal", "参数异常"),
    # Made up: what the platform really answers to a sixth message in half an hour is documented nowhere.
    "MESSAGE_SEND_LIMIT": ("Too many messages were sent, please try again later", "发送次数过多，请稍后再试"),
    "P_VERIFY_CODE_ERROR": ("Verification code is not correct", "验证码错误"),
    "CUSTOMER_API_0000102": ("Account or password is wrong", "账号或密码错误"),
    "CUSTOMER_API_0000106": ("The phone number is already taken", "手机号已存在"),
    "CUSTOMER_API_0000107": ("The e-mail address is already taken", "邮箱已存在"),
    "CUSTOMER_API_0000111": ("The company is unknown or suspended", "公司不存在或已停用"),
    "CUSTOMER_API_0000125": ("The password is empty", "密码不能为空"),
    "CUSTOMER_API_0000135": ("The password has already been set", "密码已设置"),
    "CUSTOMER_API_0000139": ("The password is too weak", "密码强度不足"),
    "CUSTOMER_API_0000501": ("A required parameter is empty", "必填参数为空"),
    "CUSTOMER_API_0000502": ("The phone number is empty", "手机号不能为空"),
    "CUSTOMER_API_0000503": ("The phone number has a wrong length", "手机号长度错误"),
    "CUSTOMER_API_0000504": ("The phone number has a wrong format", "手机号格式错误"),
    "CUSTOMER_API_0000505": ("The area code is empty", "区号不能为空"),
    "CUSTOMER_API_0000506": ("The area code has a wrong length", "区号长度错误"),
    "CUSTOMER_API_0000507": ("The area code is not valid", "区号无效"),
    "CUSTOMER_API_0000508": ("The e-mail address is empty", "邮箱不能为空"),
    "CUSTOMER_API_0000509": ("The e-mail address has a wrong length", "邮箱长度错误"),
    "CUSTOMER_API_0000510": ("The e-mail address has a wrong format", "邮箱格式错误"),
    "CUSTOMER_API_0000511": ("Verification code is not correct", "验证码错误"),
    "CUSTOMER_API_0000512": ("Too many wrong codes, try again later", "验证码错误次数过多，请稍后再试"),
    "CUSTOMER_API_0000517": ("The e-mail verification code is not correct", "邮箱验证码错误"),
    "CUSTOMER_API_0000518": ("The SMS verification code is not correct", "短信验证码错误"),
    "CUSTOMER_API_0000521": ("No verification code was given", "验证码不能为空"),
    "CUSTOMER_API_0000601": ("The verification is in review", "认证审核中"),
    "CUSTOMER_API_0000602": ("The company has not set up verification", "公司未配置认证"),
    "CUSTOMER_API_0000603": ("The verification data was not found", "认证数据不存在"),
    "CUSTOMER_API_0000604": ("The verification has already passed", "认证已通过"),
    "CUSTOMER_API_0000615": ("The level is empty or unknown", "等级数据为空"),
    "CUSTOMER_API_0000616": ("Please complete the previous level first", "请先完成上一等级认证"),
    "CUSTOMER_API_0000620": ("The format of an element is wrong", "认证要素格式错误"),
    "CUSTOMER_API_0000624": (
        "Enterprise accounts are not available in this country",
        "该国家不支持企业开户",
    ),
    "CUSTOMER_API_0000632": ("The phone number is used in another verification", "手机号已被其他认证使用"),
    "CUSTOMER_API_0000633": ("The document number is used in another verification", "证件号码已被其他认证使用"),
    "CUSTOMER_API_0000901": ("The agent number cannot be read", "代理编号解析失败"),
    "CUSTOMER_API_0000903": ("The agent number is empty", "代理编号不能为空"),
    "CUSTOMER_API_0001003": ("The country is not supported", "国家不支持"),
    "CUSTOMER_API_00010001": (
        "Your application has been received and will be reviewed",
        "您的申请已收到，正在审核",
    ),
    "CUSTOMER_API_00010002": ("The account opening was refused", "开户被拒绝"),
}


def language(header: str | None) -> str:
    """The table column for a `lang` header such as `zh-HK`; English when unknown."""
    short = (header or "en").split("-")[0].lower()
    return short if short in LANGUAGES else "en"


def text(code: str, lang: str, params: str | None = None) -> str:
    english, chinese = _TEXTS.get(code, ("The request failed", "请求失败"))
    chosen = chinese if lang == "zh" else english
    return chosen.replace("%s", params or "")


def producer(code: str) -> str:
    """`bizCode`: the module that made the reply."""
    if code == "0":
        return ""
    if code.startswith(("GATEWAY_CODE_", "F")):
        return "G"
    return "MS" if code.startswith(("MESSAGE_", "P_")) else "US"
